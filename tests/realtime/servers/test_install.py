"""`install()`: the server classes that the adapters change, and those that they leave alone."""

import asyncio
import io
import logging
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import daphne
import pytest
import uvicorn
from daphne import server as daphne_server
from daphne.access import AccessLogGenerator
from daphne.server import Server
from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol
from txaio._common import _BatchedTimer
from uvicorn.config import Config
from uvicorn.server import ServerState

from realtime.servers import daphne as adapter
from realtime.servers import uvicorn as uvicorn_adapter
from realtime.servers.daphne import protocol as daphne_protocol
from realtime.servers.daphne.protocol import PreparedWebSocketProtocol
from realtime.servers.uvicorn import PreparedProtocol
from realtime.servers.uvicorn.h11 import PromptH11Protocol
from realtime.servers.uvicorn.httptools import PromptProtocol


@pytest.fixture
def stock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Daphne as it comes, whatever was installed before; restored afterwards."""
    monkeypatch.setattr(WebSocketFactory, "protocol", WebSocketProtocol)
    for name in ("run", "listen_success", "kill_all_applications"):
        monkeypatch.setattr(Server, name, lambda *_: None)
    monkeypatch.setattr(AccessLogGenerator, "write_entry", lambda *_args, **_fields: None)


def test_tested_daphne_gets_our_protocol_and_shutdown(stock: None) -> None:
    adapter.install()

    assert WebSocketFactory.protocol is PreparedWebSocketProtocol
    assert Server.kill_all_applications is adapter._stop


def test_daphne_is_patient_with_the_last_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter._run, "stock", lambda _: None, raising=False)
    running = Server(None, endpoints=["none"], websocket_handshake_timeout=5, websocket_connect_timeout=5)

    adapter._run(running)

    assert running.websocket_handshake_timeout == running.websocket_connect_timeout == adapter.LET_IN_SECONDS


def test_untested_daphne_is_left_alone_but_for_its_log(
    stock: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(daphne, "__version__", "5.0.0")

    adapter._say_untested.cache_clear()
    with caplog.at_level(logging.WARNING):
        adapter.install()
        adapter.install()

    assert WebSocketFactory.protocol is WebSocketProtocol
    assert Server.kill_all_applications is not adapter._stop
    assert caplog.text.count("Daphne 5.0.0 was not tested with Relais") == 1
    assert AccessLogGenerator.write_entry.is_redacted


def test_access_line_is_redacted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AccessLogGenerator, "write_entry", _stock_write_entry())
    stream, calls = io.StringIO(), []

    def redact(line: str) -> str:
        calls.append(line)
        return line.replace("canary", "[redacted]")

    monkeypatch.setattr(adapter, "redact", redact)
    adapter.install()
    adapter.install()
    AccessLogGenerator(stream)(
        "http",
        "complete",
        {"client": "127.0.0.1:1", "method": "GET", "path": "/?token=canary", "status": 200, "size": 2},
    )

    assert '"GET /?token=[redacted]" 200 2' in stream.getvalue()
    assert len(calls) == 1


def _stock_write_entry() -> Any:
    def write_entry(
        self: Any, host: str, date: datetime, request: str, status: Any = None, length: Any = None
    ) -> None:
        self.stream.write(f'{host} "{request}" {status} {length}\n')

    return write_entry


def test_daphne_pings_as_we_say(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter.install()
    monkeypatch.setattr(adapter._run, "stock", lambda _server: None)
    server = Server(None, endpoints=["tcp:0"], ping_interval=1, ping_timeout=1)

    server.run()

    assert server.ping_interval == 25
    assert all(10 <= autobahn_waits(server.ping_timeout, now=now) <= 11 for now in (100.0, 100.1, 100.999))


def autobahn_waits(seconds: float, *, now: float) -> float:
    """How long Autobahn's timers, which round down, wait for this."""
    waits: list[float] = []
    _BatchedTimer(1000, 100, lambda: now, lambda after, *_: waits.append(after)).call_later(seconds, print)
    return waits[0]


async def test_line_that_has_gone_by_itself_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    # A TLS transport would raise: what it could shut down is gone.
    for name in ("dropConnection", "connectionLost"):
        monkeypatch.setattr(WebSocketProtocol, name, lambda *_, **__: None)
    monkeypatch.setattr(daphne_protocol, "CLOSE_SECONDS", 0.01)
    cuts: list[str] = []
    protocol = PreparedWebSocketProtocol()
    protocol.wasClean = True
    protocol.transport = SimpleNamespace(
        dataBuffer=b"unread", offset=0, _tempDataLen=0, abortConnection=lambda: cuts.append("cut")
    )

    protocol.dropConnection()
    protocol.connectionLost()
    await asyncio.sleep(0.05)
    assert cuts == []

    protocol.dropConnection()  # and one that does not go
    await asyncio.sleep(0.05)
    assert cuts == ["cut"]


@pytest.mark.parametrize("is_there", [True, False], ids=["open", "gone"])
def test_connection_that_cannot_be_checked_is_cut_and_the_others_are_checked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, is_there: bool
) -> None:
    checked: list[object] = []
    cuts: list[str] = []
    again: list[float] = []

    def check(protocol: WebSocketProtocol) -> None:
        checked.append(protocol)
        if protocol is broken:
            raise AttributeError("handshake_deferred")

    monkeypatch.setattr(WebSocketProtocol, "check_timeouts", check)
    monkeypatch.setattr(
        daphne_server, "reactor", SimpleNamespace(callLater=lambda seconds, _: again.append(seconds))
    )
    broken, healthy = PreparedWebSocketProtocol(), PreparedWebSocketProtocol()
    broken.transport = SimpleNamespace(abortConnection=lambda: cuts.append("cut")) if is_there else None
    server = Server(None, endpoints=["none"])
    server.connections = {broken: {}, healthy: {}}

    server.timeout_checker()

    assert checked == [broken, healthy]
    assert cuts == ["cut"] * is_there
    assert again == [2]
    assert "AttributeError: handshake_deferred" in caplog.text


def test_untested_uvicorn_has_its_own_http_and_believes_nobody_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(uvicorn, "__version__", "9.0.0")
    monkeypatch.setattr(uvicorn.Server, "startup", uvicorn.Server.startup)
    before = uvicorn.Server.startup
    uvicorn_adapter._say_untested.cache_clear()

    with caplog.at_level(logging.WARNING):
        uvicorn_adapter.install()
        uvicorn_adapter.install()

    assert uvicorn.Server.startup is before
    assert caplog.text.count("uvicorn 9.0.0 was not tested with Relais") == 1
    config = Config(app=answers, proxy_headers=True, forwarded_allow_ips="*", log_config=None)
    config.load()
    assert config.loaded_app is answers


async def answers(scope: Any, receive: Any, send: Any) -> None:
    """An application."""


@pytest.mark.parametrize(
    ("chosen", "ours"),
    [("auto", PromptProtocol), ("h11", PromptH11Protocol), ("httptools", PromptProtocol)],
)
async def test_uvicorn_starts_with_our_http_whatever_it_chose(
    monkeypatch: pytest.MonkeyPatch, chosen: str, ours: type
) -> None:
    async def nothing(_server: object, _sockets: object) -> None:
        """Stands in for the function that would listen."""

    monkeypatch.setattr(uvicorn_adapter._startup, "stock", nothing, raising=False)
    config = Config(app=answers, http=chosen, log_config=None)
    config.load()

    await uvicorn_adapter._startup(uvicorn.Server(config))

    assert config.http_protocol_class is ours


async def test_uvicorn_pings_as_we_say_and_never_compresses() -> None:
    config = Config(
        app=lambda: None, ws_ping_interval=1, ws_ping_timeout=1, ws_per_message_deflate=True, log_config=None
    )
    config.load()

    protocol = PreparedProtocol(config=config, server_state=ServerState(), app_state={})

    assert (protocol.ping_interval, protocol.ping_timeout) == (25, 10)
    assert not protocol.conn.available_extensions
