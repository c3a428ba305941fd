"""The table of a socket's commands, by name.

A socket obeys the commands in its table and nothing else; tests and documents read the same table.
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
    """A command: the fields of its request, and the method that is called with them and its `ref`."""

    fields: type[Any]
    #: The result is awaited if there is one: a method that need not wait costs no coroutine.
    obey: Callable[[Any, Any, Any], Awaitable[None] | None]
    #: The frames that may answer the command, besides an error.
    answers: tuple[type[Event], ...] = ()


Commands = Mapping[str, Command]


def named_command(commands: Commands, name: object) -> Command | None:
    """The command of a name; a client may send any JSON value as the name."""
    return commands.get(name) if isinstance(name, str) else None


def check(consumer: type[Any], commands: Commands) -> None:
    """Raise TypeError for a command that cannot work, when the consumer's class is made."""
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
    """Obey a request; raises InvalidFrameError for fields that do not fit."""
    known = named_command(commands, request.name)
    if known is None:
        raise InvalidFrameError(f"Unknown type {str(request.name)[:50]!r}.")
    return known.obey(socket, command(request.fields, known.fields), request.ref)
