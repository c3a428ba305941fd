"""A client of Tally, over whatever takes its frames."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

PATH = "/tally/"


class Client:
    """Keeps what it heard until somebody asks for it: frames of different subscriptions come as they like."""

    def __init__(
        self, send: Callable[[bytes], Awaitable[object]], receive: Callable[[], Awaitable[bytes]]
    ) -> None:
        self._send, self._receive = send, receive
        self._heard: list[list[Any]] = []

    async def say(self, verb: object, ref: object, *more: object) -> None:
        await self._send(msgspec.msgpack.encode([verb, ref, *more]))

    async def hears(self, *start: object) -> list[Any]:
        """The rest of the next frame that begins like this."""
        while True:
            for frame in self._heard:
                if frame[: len(start)] == list(start):
                    self._heard.remove(frame)
                    return frame[len(start) :]
            self._heard.append(msgspec.msgpack.decode(await self._receive(), type=list))

    async def ask(self, verb: str, ref: object, *more: object) -> list[Any]:
        """Say something, and return what was answered."""
        await self.say(verb, ref, *more)
        return await self.hears("yes", ref)

    async def refused(self, verb: object, ref: object, *more: object) -> str:
        """The code of the error that answers this."""
        await self.say(verb, ref, *more)
        return str((await self.hears("no", ref))[0])

    async def amounts(self, ref: object) -> list[int]:
        """What the next frame of rows brings to a subscription."""
        [(_, amounts)] = await self.hears("rows", ref)
        return list(amounts)

    async def nothing_else(self) -> list[list[Any]]:
        """What was heard and not asked for, up to now: the answer to a heartbeat stands behind all of it."""
        await self.ask("beat", "nothing else")
        return self._heard
