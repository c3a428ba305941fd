"""The commands of the native socket; apps register theirs here.

    class Ship(msgspec.Struct):
        order_id: int

    @in_thread("order.ship", Ship, shows=OrderSerializer)
    def ship(user: User, wish: Ship) -> dict[str, Any]:
        ...

`in_thread` is for functions that use the database; the return value is the `result` of the `ack`, in the
form of the serializer that `shows` names, and `pages.fitting` makes pages. `on_loop` is for functions that
need the socket; they must not block.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from native.dialect import Asked
from native.frames import Ack, Shape, result_of
from native.pages import encoded
from realtime import Command, Event, RestThrottle

if TYPE_CHECKING:
    from native.consumer import NativeConsumer

#: All commands of the socket, by name.
COMMANDS: dict[str, Command] = {}

W = TypeVar("W")
OnLoop = Callable[["NativeConsumer", W, Asked], Awaitable[None] | None]
InThread = Callable[[Any, W], Any]


def on_loop(
    name: str, fields: type[W], answers: type[Event] | tuple[type[Event], ...] = Ack
) -> Callable[[OnLoop[W]], OnLoop[W]]:
    """Register a function of a socket, the fields and the `Asked`; `answers` says what it may answer."""

    def register(function: OnLoop[W]) -> OnLoop[W]:
        _add(name, Command(fields, function, answers if isinstance(answers, tuple) else (answers,)))
        return function

    return register


def in_thread(name: str, fields: type[W], *, shows: Shape = None) -> Callable[[InThread[W]], InThread[W]]:
    """Register a function of a user and the fields; it may use the database.

    `shows` is the serializer of what it returns. The contract says so, and tests hold each answer to it.
    """

    def register(function: InThread[W]) -> InThread[W]:
        answer = result_of(name, shows, function.__module__)

        async def obey(socket: NativeConsumer, wish: W, asked: Asked) -> None:
            RestThrottle.take(socket.user_id)  # counted together with REST, which answers the same questions
            result = await socket.run(_asked_in_thread, function, socket.user, wish)
            await socket.outbox.room_for(len(result))
            socket.push(answer(ref=asked.ref, result=result))

        _add(name, Command(fields, obey, (answer,)))
        return function

    return register


def _asked_in_thread(function: InThread[Any], user: Any, wish: Any) -> msgspec.Raw:
    result = function(user, wish)
    return result if isinstance(result, msgspec.Raw) else encoded(result)


def _add(name: str, command: Command) -> None:
    if name in COMMANDS:
        raise ValueError(f"There is a command named {name!r} already")
    COMMANDS[name] = command
