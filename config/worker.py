"""One worker of `config/serve.py`: Daphne or uvicorn, on a socket and a line that it inherits.

python -m config.worker LISTENER LINE    (descriptors)
"""

import socket
import sys

from django.conf import settings

from config.asgi import application  # before ours: it sets Django up, or says why it cannot start
from realtime.servers import daphne, uvicorn
from realtime.servers.workers import hold_line

SERVERS = {"daphne": daphne.serve, "uvicorn": uvicorn.serve}


def main(listener: int, line: int) -> None:
    """Serve until SIGTERM, or until there is nobody at the other end of the line."""
    ready = hold_line(line)
    inherited = socket.socket(fileno=listener)
    inherited.set_inheritable(False)
    SERVERS[settings.SERVER](application, inherited, ready=ready)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
