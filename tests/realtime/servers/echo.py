"""Echo applications: they send back what they receive, and report on standard error how they end.

Below `/ws/echo/` and on `/websocket` texts leave through an outbox, like those of our own sockets (as
finished frames where the server takes them), and a client that says "worked?" is told the seconds that the
process has been on a CPU. Everywhere else the echo is a stranger's ASGI application: no outbox, no hub.
"""

import asyncio
import os
import sys
import time
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django

django.setup()

from django.urls import re_path  # noqa: E402 - needs what setup() did

from realtime.errors import CloseCode  # noqa: E402 - the same
from realtime.servers import daphne  # noqa: E402 - the same
from realtime.wire import sizes  # noqa: E402 - the same
from realtime.wire.outbox import outbox_for  # noqa: E402 - the same

daphne.install()
if "uvicorn" in sys.modules:  # as in config/asgi.py
    from realtime.servers import uvicorn

    uvicorn.install()


def say(what: str) -> None:
    sys.stderr.write(f"{what}\n")


def _anything() -> None:
    """The consumer of these routes, which are only there for their sizes."""


sizes.declare([re_path("^ws/", _anything)], sizes.native)  # type: ignore[arg-type]  # it is no view
sizes.declare([re_path("", _anything)], sizes.foreign)  # type: ignore[arg-type]  # the same


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        is_ours = scope["path"].startswith("/ws/echo/") or scope["path"] == "/websocket"
        await (echo_as_our_sockets if is_ours else echo)(scope, receive, send)
    elif scope["type"] == "http":
        await answer(scope, receive, send)
    else:
        raise ValueError(scope["type"])


async def echo_as_our_sockets(scope: dict[str, Any], receive: Any, send: Any) -> None:
    def close_slow() -> None:
        say("too slow")
        outbox.close(CloseCode.TOO_SLOW)

    course = asyncio.current_task()
    assert course is not None
    outbox = outbox_for(scope, send, close_slow, course.cancel)
    await receive()
    await send({"type": "websocket.accept"})
    outbox.open()
    while (message := await receive())["type"] == "websocket.receive":
        if (text := message.get("text")) is not None:
            outbox.push(str(time.process_time()) if text == "worked?" else text)
        else:  # our sockets never send binary, so it is sent as a stranger would, in its turn
            await outbox.drained()
            await send({"type": "websocket.send", "bytes": message["bytes"]})
    outbox.abandon()


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()
    if scope["path"] == "/refused":
        headers = [(b"content-type", b"text/plain"), (b"retry-after", b"7")]
        await send({"type": "websocket.http.response.start", "status": 429, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b"not ", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"now"})
        return
    if scope["path"] == "/late":
        say("late begins")
        await asyncio.sleep(1)
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "large":
            await send({"type": "websocket.send", "text": "x" * 300_000})
        elif message.get("text") == "wait":
            say("waiting")
            await asyncio.sleep(600)
        elif message.get("text") == "pause":
            await asyncio.sleep(1)
        elif (message.get("text") or "").startswith("close "):
            await send({"type": "websocket.close", "code": int(message["text"][6:])})
        else:
            await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})
    say(f"disconnect {int(message['code'])}")


async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["path"] == "/slow":
        say("slow begins")
        await asyncio.sleep(2)
    elif scope["path"].startswith("/body"):
        if scope["path"] == "/body/later":
            await asyncio.sleep(2)
        while (await receive()).get("more_body"):
            pass
    elif scope["path"] == "/endless":
        say("endless begins")
        await asyncio.sleep(600)
    elif scope["path"] == "/large":
        say("large begins")
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"8388608")]}
        )
        for _ in range(128):
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})
