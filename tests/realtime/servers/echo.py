"""A stranger's ASGI application: no JsonSocket, no hub. It says on standard error what happened to it."""

import asyncio
import os
import sys
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django

django.setup()

from config.logs import redact  # noqa: E402 - needs what setup() did
from realtime.servers import daphne  # noqa: E402 - the same

daphne.install(redact=redact)


def say(what: str) -> None:
    sys.stderr.write(f"{what}\n")


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await echo(scope, receive, send)
    elif scope["type"] == "http":
        await answer(scope, receive, send)
    else:
        raise ValueError(scope["type"])


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "large":
            await send({"type": "websocket.send", "text": "x" * 300_000})
        elif (message.get("text") or "").startswith("close "):
            await send({"type": "websocket.close", "code": int(message["text"][6:])})
        else:
            await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})
    say(f"disconnect {int(message['code'])}")


async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["path"] == "/slow":
        say("slow begins")
        await asyncio.sleep(1)
    elif scope["path"] == "/endless":
        say("endless begins")
        await asyncio.sleep(600)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})
