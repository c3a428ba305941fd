"""The table of what a client may ask of a socket, by the name of the command.

Sockets obey what is in their table and nothing else; tests and documents read the same one.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from realtime.errors import InvalidFrameError
from realtime.events import Event
from realtime.json_input import command
from realtime.sockets.dialect import Request


class Command(NamedTuple):
    """The fields that a request must have, and the method that is called with them and its `ref`."""

    fields: type[Any]
    #: Awaited where it returns something to wait for; what needs no waiting costs no coroutine.
    obey: Callable[[Any, Any, Any], Awaitable[None] | None]
    #: The frames that may answer it, besides an error.
    answers: tuple[type[Event], ...] = ()


Commands = Mapping[str, Command]


def named_command(commands: Commands, name: object) -> Command | None:
    """The command of this name; a client may write anything there."""
    return commands.get(name) if isinstance(name, str) else None


def check(consumer: type[Any], commands: Commands) -> None:
    """Raise TypeError for a command that could not be obeyed, when its class is made."""
    for name, known in commands.items():
        where = f"{consumer.__name__}.commands[{name!r}]"
        if not isinstance(known, Command) or not isinstance(known.fields, type) or not callable(known.obey):
            raise TypeError(f"{where} is no Command(fields, method), with a class and a function: {known!r}")
        try:
            inspect.signature(known.obey).bind(None, None, None)
        except TypeError:
            method = getattr(known.obey, "__qualname__", known.obey)
            raise TypeError(f"{where}: {method} must take (self, fields, ref)") from None


def obey(socket: Any, commands: Commands, request: Request) -> Awaitable[None] | None:
    """Do what a request asks for; an InvalidFrameError says what does not fit."""
    known = named_command(commands, request.name)
    if known is None:
        raise InvalidFrameError(f"Unknown type {str(request.name)[:50]!r}.")
    return known.obey(socket, command(request.fields, known.fields), request.ref)
