"""The core: topics, the log, publishing, the hub, sockets. It has never heard of chat.

Where to look: `topics` names an audience · `events` what is told to it · `log` keeps it in order ·
`publishing` says when it is told · `bells` tells other processes · `hub` and `audience` hand it to
local sockets · `sockets` is one connection · `errors`, `limits`, `conf` the rules everything obeys.
"""
