"""The ASGI servers, Daphne and uvicorn, with what each lacks: limits, pings, a graceful end.

On any other server everything still works, with that server's own limits and habits. The constants here are
fixed; what an operator may change is a setting: see `realtime/defaults.py`.
"""

#: Seconds from the last accept until silent connections are closed: one that is closed while its first bytes
#: are on their way looks like a crash, and its client is told nothing.
ACCEPTED_SECONDS = 0.5
#: Seconds that our own sockets have, when the server stops, to finish what they send and to be closed.
DRAIN_SECONDS = 6.0
#: Seconds that everything else has after that: requests being answered, other applications' sockets.
FINISH_SECONDS = 4.0
#: Seconds a peer has to answer our close frame, or to read what is before it, until the line is cut.
CLOSE_SECONDS = 5.0
#: Frames that one message may be cut into: 1 MiB in the smallest pieces that the Autobahn testsuite sends,
#: and the empty one that it ends a message with whose size is a multiple of them.
MAX_FRAGMENTS = 16 * 1024 + 1
#: Bytes that the kernel may hold for a peer (Linux doubles it for its own needs). Left to itself it takes
#: megabytes for each that does not read, and we would notice half a minute later.
SEND_BUFFER_BYTES = 128 * 1024
#: Bytes given to the parser in one turn of the loop. Twisted reads 64 KiB at once and uvloop up to 8 MiB: as
#: many empty pings as fit into that would keep everybody else waiting for seconds.
SLICE_BYTES = 16 * 1024
