"""nginx with nchan: a pub/sub server in C that stores nothing. One worker, in memory.

It is Debian's packages `nginx` and `libnginx-mod-nchan`: if they are missing, root installs them with apt;
otherwise the report says that they were absent.

nchan leaves Nagle's algorithm on for its sockets, so that a message may wait up to 40 ms for the
acknowledgement of the one before. To keep that out of the comparison, nginx inherits a listening socket
without it, whose accepted sockets inherit the option, in the way nginx hands its own sockets to its
successor: `python -m bench.peers.nchan PORT nginx …`.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.crowd import Place
from bench.machine import ROOT
from tests.processes import Process, accepts
from tests.programs import MissingProgramError, install_packages

MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
PACKAGES = ("nginx", "libnginx-mod-nchan")
# Every member publishes and subscribes on one socket, as in a chat. Messages for slow members wait a while.
CONFIGURATION = """
load_module {module};
daemon off;
worker_processes 1;
user root;
pid {directory}/pid;
error_log stderr warn;
worker_rlimit_nofile {files};
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location ~ ^/ws/(\\d+)$ {{
            nchan_pubsub websocket;
            nchan_channel_id $1;
            nchan_subscriber_first_message newest;
            nchan_message_buffer_length 2000;
            nchan_message_timeout 60s;
        }}
    }}
}}
"""


class AbsentError(RuntimeError):
    """The peer is not on this machine; the message says why."""


def program() -> Path:
    """The path of nginx with the module, which is installed if possible."""
    if (found := _installed()) is None:
        try:
            install_packages(*PACKAGES)
        except MissingProgramError as missing:
            raise AbsentError(str(missing)) from None
        found = _installed()
    if found is None:
        raise AbsentError(f"no nginx with {MODULE.name}: install {' and '.join(PACKAGES)}")
    return found


def _installed() -> Path | None:
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return Path(nginx) if nginx and MODULE.exists() else None


class NchanServer(Process):
    """One nginx worker with one location."""

    name = "nchan"
    working_directory = ROOT

    def __init__(self, *, files: int) -> None:
        self.program = program()
        super().__init__()
        configuration = CONFIGURATION.format(
            module=MODULE,
            directory=self.directory,
            port=self.port,
            files=files,
            connections=files - 100,
        )
        (self.directory / "nginx.conf").write_text(
            configuration if os.geteuid() == 0 else configuration.replace("user root;\n", "")
        )

    def version(self) -> str:
        """The versions of nginx and of the module's package."""
        said = subprocess.run([self.program, "-v"], capture_output=True, text=True, check=False).stderr
        number = re.search(r"[\d.]+", said)
        package = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Version}", PACKAGES[1]], capture_output=True, text=True, check=False
        )
        return f"nginx {number[0] if number else '?'}, nchan {package.stdout or '?'}"

    def command(self) -> Sequence[str]:
        nginx = [str(self.program), "-p", str(self.directory), "-c", str(self.directory / "nginx.conf")]
        return [sys.executable, "-m", "bench.peers.nchan", str(self.port), *nginx]

    def answers(self) -> bool:
        return accepts(self.port)

    def places(self, members: int, *, speakers: int) -> list[Place]:
        """The members of one channel; each number of members has its own channel."""
        path = f"/ws/{members * 1000 + speakers}"
        return [Place(path, speaks=index < speakers) for index in range(members)]


def become_nginx(port: int, command: Sequence[str]) -> None:
    """Replace this process by nginx, with a listening socket whose accepted sockets send at once."""
    listener = socket.create_server(("127.0.0.1", port), backlog=1024)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.set_inheritable(True)
    os.execve(command[0], list(command), {**os.environ, "NGINX": f"{listener.fileno()};"})


if __name__ == "__main__":
    become_nginx(int(sys.argv[1]), sys.argv[2:])
