"""What each ASGI server needs from us: limits, pings, a graceful end. One small file per server.

On any other server everything still works, with that server's own limits and habits.
"""

#: Seconds of silence before a socket is pinged. Proxies cut idle connections after 55 to 60 s.
PING_INTERVAL_SECONDS = 25.0
#: Seconds a peer has to answer before it counts as gone.
PING_TIMEOUT_SECONDS = 10.0
#: Seconds between the last accept and the end for who has said nothing: a connection closed while its
#: first bytes are on their way looks like a crash, and its client is told nothing.
ACCEPTED_SECONDS = 0.5
#: Seconds our own sockets have, at the end, to finish what they send and to be closed.
DRAIN_SECONDS = 6.0
#: Seconds that everything else has after that: requests being answered, other applications' sockets.
FINISH_SECONDS = 4.0
