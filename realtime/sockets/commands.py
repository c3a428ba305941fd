"""What a client may ask of a socket: a table by the `type` of the frame.

Sockets obey what is in their table and nothing else; tests and documents read the same one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from realtime.errors import InvalidFrameError
from realtime.json_input import Ref, command


class Command(NamedTuple):
    """The fields a frame must have, and the method that is called with them and the frame's `ref`."""

    fields: type[Any]
    #: Awaited where it returns something to wait for; what needs no waiting costs no coroutine.
    obey: Callable[[Any, Any, Ref], Awaitable[None] | None]


Commands = Mapping[str, Command]


def named(commands: Commands, name: object) -> Command | None:
    """The command of this name; a client may write anything there."""
    return commands.get(name) if isinstance(name, str) else None


def obey(
    socket: Any, commands: Commands, name: object, frame: dict[str, Any], ref: Ref
) -> Awaitable[None] | None:
    """Do what a frame asks for by `name`; an InvalidFrameError says what does not fit."""
    known = named(commands, name)
    if known is None:
        raise InvalidFrameError(f"Unknown type {str(name)[:50]!r}.")
    return known.obey(socket, command(frame, known.fields), ref)
