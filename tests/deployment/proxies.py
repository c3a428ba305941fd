"""The proxies of docs/operations/proxies.md, run with the configurations that the page prints.

Only addresses, ports and files of another machine are replaced in a configuration. Its time-outs are
shortened by a factor, as the server's own are.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import ssl
import subprocess
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from websockets.asyncio.client import connect

from tests.newcomer.documents import blocks
from tests.processes import Process, accepts, free_port
from tests.programs import proxy
from tests.servers import ServerProcess

PAGE = "docs/operations/proxies.md"
HOST = "chat.example.com"
#: The address from which the clients of these tests come; the proxy itself has 127.0.0.1.
CLIENT, NEIGHBOUR = "127.0.0.2", "127.0.0.3"


def configuration(language: str) -> str:
    """The configuration that the page prints in this language."""
    [block] = [block for block in blocks(PAGE) if block.language == language]
    return block.text


class Proxy(Process):
    """One proxy in front of one server, with a certificate of its own."""

    program: str
    #: The language of its configuration on the page.
    language: str

    def __init__(self, server: ServerProcess, *, faster: float = 1) -> None:
        self.name = self.program
        super().__init__()
        self.upstream = server.port
        self.plain_port = free_port()
        self._faster = faster
        self._make_certificate()

    def configured(self) -> str:
        """The page's configuration, changed for this machine."""
        return (
            configuration(self.language)
            .replace("127.0.0.1:8000", f"127.0.0.1:{self.upstream}")
            .replace(f"/var/log/{self.program}", str(self.directory))
        )

    @property
    def access_log(self) -> str:
        file = self.directory / "relais.log"
        return file.read_text() if file.exists() else ""

    def all_logs(self) -> str:
        """Everything that the proxy wrote, wherever that is."""
        files = [*self.directory.glob("*.log"), self.log_file]
        return "".join(file.read_text() for file in files if file.exists())

    def answers(self) -> bool:
        return accepts(self.port)

    # Actions of its clients.

    @cached_property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.directory / "certificate.pem"))

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        address: str = CLIENT,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """The status of an answer through the proxy, and its JSON or text."""
        connection = http.client.HTTPSConnection(HOST, context=self.trust)
        connection.sock = self._secure(address)
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(
            method,
            path,
            content,
            {"Content-Type": "application/json", "Connection": "close", **(headers or {})},
        )
        answer = connection.getresponse()
        text = answer.read().decode()
        is_json = "json" in answer.headers.get("Content-Type", "")
        return answer.status, json.loads(text) if is_json and text else text

    def token(self, username: str, *, address: str = CLIENT, **headers: str) -> str:
        """Sign in as one of the demo's people."""
        body = {"username": username, "password": "demo-password"}
        status, answer = self.ask("POST", "/api/token/", body, address=address, headers=headers)
        assert status == 200, answer
        token: str = answer["access"]
        return token

    def socket(self, path: str, *, address: str = CLIENT, **options: Any) -> Any:
        """Open a socket through the proxy, as a page of its host does."""
        ours: dict[str, Any] = {"origin": f"https://{HOST}", "ssl": self.trust, "proxy": None}
        there: dict[str, Any] = {"host": "127.0.0.1", "port": self.port, "local_addr": (address, 0)}
        return connect(f"wss://{HOST}{path}", **(ours | there | options))

    def protocol_offered_to(self, *protocols: str) -> str | None:
        """The protocol that the proxy chooses of these."""
        context = ssl.create_default_context(cafile=str(self.directory / "certificate.pem"))
        context.set_alpn_protocols(list(protocols))
        with self._secure(CLIENT, context) as connection:
            return connection.selected_alpn_protocol()

    def _secure(self, address: str, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=20, source_address=(address, 0))
        return (context or self.trust).wrap_socket(plain, server_hostname=HOST)

    def _make_certificate(self) -> None:
        key, certificate = self.directory / "key.pem", self.directory / "certificate.pem"
        kind = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        name = ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"]
        files = ["-keyout", str(key), "-out", str(certificate)]
        subprocess.run(["openssl", "req", *kind.split(), *name, *files], check=True, capture_output=True)


class Nginx(Proxy):
    """nginx, with a main file around the page's."""

    program = language = "nginx"

    def configured(self) -> str:
        text = super().configured()
        text = re.sub(r"^ *listen \[::\].*\n", "", text, flags=re.MULTILINE)  # a machine may have no IPv6
        text = text.replace("listen 80;", f"listen 127.0.0.1:{self.plain_port};")
        text = text.replace("listen 443 ", f"listen 127.0.0.1:{self.port} ")
        text = re.sub(r"/etc/letsencrypt/\S+/fullchain.pem", f"{self.directory}/certificate.pem", text)
        text = re.sub(r"/etc/letsencrypt/\S+/privkey.pem", f"{self.directory}/key.pem", text)
        return re.sub(
            r"(proxy_\w+_timeout) (\d+)s", lambda t: f"{t[1]} {float(t[2]) * 1000 / self._faster:.0f}ms", text
        )

    def command(self) -> Sequence[str]:
        main = self.directory / "nginx.conf"
        (self.directory / "relais.conf").write_text(self.configured())
        temporary = "".join(
            f"{kind}_temp_path {self.directory}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;" if os.geteuid() == 0 else ""
        main.write_text(
            f"daemon off;\npid {self.directory}/pid;\nerror_log stderr crit;\n{user}\n"
            f"events {{ worker_connections 200; }}\n"
            f"http {{\n{temporary}include {self.directory}/relais.conf;\n}}\n"
        )
        return [str(proxy("nginx")), "-p", str(self.directory), "-c", str(main)]


class Caddy(Proxy):
    """Caddy, kept from fetching a certificate and from taking port 80."""

    program, language = "caddy", "caddyfile"

    def configured(self) -> str:
        text = super().configured()
        ports = f"admin off\n\thttp_port {self.plain_port}\n\thttps_port {self.port}"
        certificate = f"tls {self.directory}/certificate.pem {self.directory}/key.pem"
        return text.replace("\n{\n", f"\n{{\n\t{ports}\n", 1).replace(
            f"{HOST} {{", f"{HOST} {{\n\t{certificate}"
        )

    def environment(self) -> Mapping[str, str]:
        return {**os.environ, "HOME": str(self.directory), "XDG_DATA_HOME": str(self.directory / "data")}

    def command(self) -> Sequence[str]:
        file = self.directory / "Caddyfile"
        file.write_text(self.configured())
        return [str(proxy("caddy")), "run", "--config", str(file), "--adapter", "caddyfile"]


PROXIES: dict[str, type[Proxy]] = {"nginx": Nginx, "caddy": Caddy}
