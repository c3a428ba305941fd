"""Measures the memory of an idle socket: `python -m tests.realtime.servers.cost [daphne] [uvicorn] [2000]`.

The application is an echo that is not ours, so that the server's own share is seen: the CPU of one handshake,
and the user-space memory (USS) of a socket that is open and silent.
"""

import resource
import secrets
import sys
import tempfile
import time
from typing import get_args

from bench.machine import cpu_seconds, memory
from tests.realtime.servers.echo_server import EchoServer, Kind
from tests.realtime.servers.raw import Peer

WARM_UP = 200
#: The cheapest of these counts: a busy machine makes CPU dearer, never cheaper.
BATCHES = 40
SETTLE_SECONDS = 3.0


def measure(kind: Kind, sockets: int) -> str:
    """One line of figures."""
    with tempfile.TemporaryDirectory() as directory:
        database, secret = f"sqlite:///{directory}/db.sqlite3", secrets.token_urlsafe(48)
        with EchoServer(kind, database_url=database, env={"SECRET_KEY": secret}) as server:
            warm = [Peer(server.port, "/cost") for _ in range(WARM_UP)]
            time.sleep(SETTLE_SECONDS)
            before_them = memory(server.pid).unique

            opened, cheapest = [], float("inf")
            for _ in range(BATCHES):
                before = cpu_seconds(server.pid)
                opened += [Peer(server.port, "/cost") for _ in range(sockets // BATCHES)]
                cheapest = min(cheapest, (cpu_seconds(server.pid) - before) / (sockets // BATCHES))
            time.sleep(SETTLE_SECONDS)
            held = memory(server.pid).unique - before_them
            for peer in warm + opened:
                peer.reset()
    microseconds, kib = cheapest * 1e6, held / sockets / 1024
    return f"{kind}: {microseconds:.0f} µs of CPU per connect, {kib:.1f} KiB per idle socket"


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    arguments = sys.argv[1:]
    count = next((int(argument) for argument in arguments if argument.isdigit()), 2000)
    for which in get_args(Kind):
        if which in arguments or not set(arguments) & set(get_args(Kind)):
            sys.stdout.write(measure(which, count) + "\n")
