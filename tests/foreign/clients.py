"""A client of Tally, over any transport of its frames."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

PATH = "/tally/"


class Client:
    """Keeps what it heard until a test asks for it: frames of different subscriptions come in any order."""

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
        """Send a request, and return its answer."""
        await self.say(verb, ref, *more)
        return await self.hears("yes", ref)

    async def refused(self, verb: object, ref: object, *more: object) -> str:
        """Send a request, and return the code of the error that answers it."""
        await self.say(verb, ref, *more)
        return str((await self.hears("no", ref))[0])

    async def amounts(self, ref: object) -> list[int]:
        """The amounts in the next frame of rows for a subscription."""
        [(_, amounts)] = await self.hears("rows", ref)
        return list(amounts)

    async def nothing_else(self) -> list[list[Any]]:
        """Frames that were heard and not asked for so far: the answer to a heartbeat comes after all of
        them."""
        await self.ask("beat", "nothing else")
        return self._heard
