"""Handshakes that websockets need not read are understood and answered as it would do it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn
from hypothesis import example, given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState
from websockets.http11 import Request
from websockets.server import ServerProtocol

from realtime.servers.uvicorn import PreparedProtocol, PromptProtocol
from realtime.servers.uvicorn.handshake import ordinary
from realtime.wire.wire import EXTENSION

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 §1.3
NEEDED = [
    (b"host", b"127.0.0.1:8000"),
    (b"upgrade", b"websocket"),
    (b"connection", b"Upgrade"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", KEY),
]
CHROME = [
    (b"pragma", b"no-cache"),
    (b"cache-control", b"no-cache"),
    (
        b"user-agent",
        b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0",
    ),
    (b"origin", b"http://127.0.0.1:8000"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"accept-language", b"en-US,en;q=0.9"),
    (b"sec-websocket-extensions", b"permessage-deflate; client_max_window_bits"),
]
FIREFOX = [(b"connection", b"keep-alive, Upgrade"), (b"sec-websocket-protocol", b"relais.v1, bearer.a.b-_c")]

#: Each of these lines once, twice or not at all, in any order.
LINES = [
    *NEEDED,
    *CHROME,
    *FIREFOX,
    (b"upgrade", b"WebSocket"),
    (b"upgrade", b"h2c"),
    (b"connection", b"keep-alive"),
    (b"connection", b"upgrade, close,"),
    (b"sec-websocket-version", b"8"),
    (b"sec-websocket-key", b"AQIDBAUGBwgJCgsMDQ4PEC=="),
    (b"sec-websocket-key", b"dG9vIHNob3J0"),
    (b"sec-websocket-key", KEY[:-1] + b"!"),
    (b"sec-websocket-protocol", b"one two"),
    (b"sec-websocket-protocol", b"a,,b"),
    (b"sec-websocket-protocol", b""),
    (b"origin", b"null"),
    (b"content-length", b"0"),
    (b"content-length", b"5"),
    (b"transfer-encoding", b"chunked"),
    (b"x-odd", b"xy\xe9"),
    (b"x-odd", b"a\x01b"),
    (b"x-long", b"x" * 9_000),
    (b"x-blank", b" padded  "),
]
TARGETS = [
    b"/",
    b"/ws/chat/1/?v=1&token=a.b.c",
    b"/xy\xe9",
    b"/%78y%C3%A9?x=%00",
    b"/a?b?c#d",
    b"/" + b"y" * 9_000,
]


def read_by_websockets(method: str, target: bytes, headers: list[tuple[bytes, bytes]]) -> tuple[Any, Any]:
    """What websockets makes of the handshake: the request, and its answer."""
    protocol = ServerProtocol()
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    protocol.receive_data(method.encode() + b" " + target + b" HTTP/1.1\r\n" + lines + b"\r\n")
    requests = [event for event in protocol.events_received() if isinstance(event, Request)]
    return (requests[0], protocol.accept(requests[0])) if requests else (None, None)


@settings(max_examples=400, derandomize=True)
@given(
    method=st.sampled_from(["GET", "GET", "GET", "POST"]),
    target=st.sampled_from(TARGETS),
    more=st.lists(st.sampled_from(LINES), max_size=4),
    missing=st.none() | st.sampled_from(NEEDED),
    order=st.randoms(),
)
@example(
    method="GET", target=b"/", more=[(b"origin", b"null"), (b"origin", b"null")], missing=None, order=None
)
def test_handshake_found_ordinary_is_one_that_websockets_accepts(method, target, more, missing, order):
    named = {name for name, _ in more}
    headers = [line for line in NEEDED if line != missing and line[0] not in named] + more
    if order is not None:
        order.shuffle(headers)

    found = ordinary(method, target, headers)

    if found is not None:
        request, answer = read_by_websockets(method, target, headers)
        assert answer is not None
        assert answer.status_code == 101
        assert found.accept == answer.headers["Sec-WebSocket-Accept"]
        assert found.target.decode() == request.path
        assert [(n.decode(), v.decode()) for n, v in found.headers] == list(request.headers.raw_items())


@pytest.mark.parametrize("more", [[], CHROME, FIREFOX], ids=["bare", "Chrome", "Firefox"])
def test_handshakes_of_browsers_are_ordinary(more):
    named = {name for name, _ in more}
    found = ordinary("GET", TARGETS[1], [line for line in NEEDED if line[0] not in named] + more)

    assert found is not None
    assert found.accept == ACCEPT
    assert found.subprotocols == (["relais.v1", "bearer.a.b-_c"] if more == FIREFOX else [])


@pytest.mark.parametrize("line", [(b"x-odd", b"xy\xe9"), (b"content-length", b"0")], ids=["odd", "body"])
async def test_application_and_peer_see_no_difference(line, caplog, monkeypatch):
    """One handshake is ordinary; the other differs in a line for which it is left to websockets."""
    caplog.set_level("INFO", logger="uvicorn.error")
    accepted_by_websockets: list[Request] = []
    accept = ServerProtocol.accept

    def watched(self: ServerProtocol, request: Request) -> Any:
        accepted_by_websockets.append(request)
        return accept(self, request)

    monkeypatch.setattr(ServerProtocol, "accept", watched)
    usual = await opened(NEEDED + CHROME + FIREFOX[1:])
    said = [record.getMessage().partition(" - ")[2] or record.getMessage() for record in caplog.records]
    caplog.clear()
    assert not accepted_by_websockets
    unusual = await opened([*NEEDED, *CHROME, *FIREFOX[1:], line])

    assert len(accepted_by_websockets) == 1
    assert usual[0] == {**unusual[0], "headers": unusual[0]["headers"][:-1]}
    assert unusual[0]["headers"][-1] == line
    assert usual[1] == unusual[1]
    assert said[:2] == ['"WebSocket /root/ws/xy%C3%A9/?v=1" [accepted]', "connection open"]
    assert said == [
        record.getMessage().partition(" - ")[2] or record.getMessage() for record in caplog.records
    ]


async def opened(headers: list[tuple[bytes, bytes]]) -> tuple[dict[str, Any], bytes]:
    """The scope of a socket on uvicorn, and all that its peer was sent."""
    seen: dict[str, Any] = {}

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope, extensions=set(scope["extensions"]))
        await receive()
        accept = {"type": "websocket.accept", "subprotocol": "relais.v1", "headers": [(b"X-Made", b"by us")]}
        await send(accept)
        await send({"type": "websocket.send", "text": "welcome"})
        await send({"type": "websocket.close", "code": 4404})
        assert (await receive())["type"] == "websocket.disconnect"

    config = uvicorn.Config(
        application,
        http=PromptProtocol,
        ws=PreparedProtocol,
        log_config=None,
        lifespan="off",
        root_path="/root",
    )
    config.load()
    config.loaded_app = application
    state = ServerState()
    state.default_headers = [(b"date", b"today"), (b"server", b"uvicorn")]
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: PromptProtocol(config, state, {"made": 1}), "127.0.0.1", 0)
    async with server:
        server_port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", server_port)
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        writer.write(b"GET /ws/xy%C3%A9/?v=1 HTTP/1.1\r\n" + lines + b"\r\n")
        sent = await reader.readuntil(b"\x88\x02\x11\x34")
        writer.write(b"\x88\x82\0\0\0\0\x11\x34")
        assert await reader.read() == b""
        writer.close()
    assert EXTENSION in seen["extensions"]
    assert seen.pop("client")[1] != seen.pop("server")[1] == server_port
    return seen, sent
