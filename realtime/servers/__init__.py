"""What each ASGI server needs from us: limits, pings, a graceful end. One small file per server.

On any other server everything still works, with that server's own limits and habits.
"""

#: Seconds of silence before a socket is pinged. Proxies cut idle connections after 55 to 60 s.
PING_INTERVAL_SECONDS = 25.0
#: Seconds a peer has to answer before it counts as gone.
PING_TIMEOUT_SECONDS = 10.0
