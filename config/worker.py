"""One worker of `config/serve.py`: runs Daphne or uvicorn on an inherited listening socket.

    python -m config.worker LISTENER LINE

Both are descriptors; the line leads to the supervisor (`realtime/servers/workers.py`).
"""

import socket
import sys

from django.conf import settings

from config.asgi import application  # before ours: it sets Django up, or says why it cannot start
from realtime.servers import daphne, uvicorn
from realtime.servers.workers import hold_line

SERVERS = {"daphne": daphne.serve, "uvicorn": uvicorn.serve}


def main(listener: int, line: int) -> None:
    """Serve until SIGTERM, or until the supervisor at the other end of `line` is gone."""
    ready = hold_line(line)
    inherited = socket.socket(fileno=listener)
    inherited.set_inheritable(False)
    SERVERS[settings.SERVER](application, inherited, ready=ready)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
