"""Credentials of a handshake: read from the scope, and removed so that no trace of a secret is left.

All sockets pass here first: whatever comes after, refusals and access logs included, never sees a secret.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote_plus

from asgiref.sync import markcoroutinefunction

from accounts.authentication import bearer_token
from accounts.tickets import use_up_tickets
from realtime import BatchLoader, RealtimeError, UnauthenticatedError

Scope = MutableMapping[str, Any]
Application = Callable[[Any, Any, Any], Awaitable[None]]

SUBPROTOCOL_PREFIX = "bearer."
#: Parameters of a handshake, by either of their separators; the documents name six. To look through what fits
#: into an address, `&%25&%25…`, would take as long as twenty handshakes.
MAX_PARAMETERS = 100
#: Bytes of a parameter's name that is decoded; a parameter with a longer name is removed unread.
MAX_NAME_BYTES = 200
#: Tickets of one handshake that are read; an honest handshake has one.
MAX_TICKETS = 4
_SECRET_PARAMETERS = frozenset({"token", "ticket"})
#: Parameters in which clients of foreign dialects send secrets; their sockets find them in the scope.
_FOREIGN_PARAMETERS = frozenset({"apikey", "access_token"})
#: Names that another reader might take for `token`: TOKEN, %2574oken, token[]. They are removed as well.
_LIKE_A_SECRET = re.compile(r"\W*(?:token|ticket|apikey|access_token)\W*", re.IGNORECASE)
_MOST_ENCODINGS = 4

#: Uses up tickets, those of one moment together.
_used_up: BatchLoader[str, None] = BatchLoader(use_up_tickets)
#: Handshakes that may wait for that at once: no other limit counts refused ones.
MAX_WAITING = 500
_waiting = 0


class Credential(NamedTuple):
    """A credential of a client: its kind and its secret."""

    kind: Literal["token", "ticket"]
    secret: str


class Offer(NamedTuple):
    """The credentials that a handshake offered; `error` where they were too many."""

    credential: Credential | None = None
    error: RealtimeError | None = None
    #: Tickets to use up: they were on the wire, but another credential is used.
    left_over: tuple[str, ...] = ()
    #: What foreign dialects send in the address, by the name of the parameter.
    foreign: Mapping[str, str] = MappingProxyType({})

    @property
    def tickets(self) -> tuple[str, ...]:
        """All tickets of the handshake."""
        is_ticket = self.credential is not None and self.credential.kind == "ticket"
        return (*self.left_over, self.credential.secret) if self.credential and is_ticket else self.left_over


class Credentials:
    """Takes every credential out of a handshake and puts an `Offer` into its place, for `SocketAuth`.

    In place: the server writes its access log from the same scope, after us. A layer that refuses the
    handshake before `SocketAuth` awaits `on_refused`, if there is one: a ticket that was seen opens nothing.
    """

    def __init__(self, inner: Application) -> None:
        self.inner = inner
        markcoroutinefunction(self)

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        scope["offer"] = offer = take_offer(scope)
        if offer.tickets:
            scope["on_refused"] = functools.partial(use_up, offer.tickets)
        return self.inner(scope, receive, send)


async def use_up(tickets: tuple[str, ...]) -> None:
    """Make these tickets useless.

    While the database is away, or a flood of refused handshakes waits for it, they last their 30 seconds.
    """
    global _waiting  # noqa: PLW0603 - of the process
    if not tickets or _waiting >= MAX_WAITING:
        return
    _waiting += 1
    try:
        for ticket in tickets:
            await _used_up(ticket)
    except RealtimeError:
        return
    finally:
        _waiting -= 1


def take_offer(scope: Scope) -> Offer:
    """Read the offered credentials, and remove them all from the scope."""
    credential: Credential | None = None
    error: RealtimeError | None = None
    query = scope.get("query_string", b"")
    if query.count(b"&") + query.count(b";") >= MAX_PARAMETERS:
        scope["query_string"] = b""
        error = UnauthenticatedError("The address has too many parameters.")
    tickets = [value for name, value in _parameters(scope) if name == "ticket"][:MAX_TICKETS]
    foreign = {name: value for name, value in _parameters(scope) if name in _FOREIGN_PARAMETERS}
    try:
        credential = None if error else _credential(scope)
    except RealtimeError as problem:
        error = problem
    _remove_secrets(scope)
    taken = credential.secret if credential and credential.kind == "ticket" else None
    return Offer(credential, error, tuple(ticket for ticket in tickets if ticket != taken), foreign)


def _credential(scope: Scope) -> Credential | None:
    """The one credential of a handshake: header, then subprotocol, then ticket, then `?token=`.

    A kind that is given twice is refused: two readers might pick different ones.
    """
    header = one_header(scope, b"authorization")
    protocols = [name for name in scope.get("subprotocols", ()) if name.startswith(SUBPROTOCOL_PREFIX)]
    secret = _SECRET_PARAMETERS | _FOREIGN_PARAMETERS
    parameters = [(name, value) for name, value in _parameters(scope) if name in secret]
    if len(protocols) > 1 or len({name for name, _ in parameters}) < len(parameters):
        raise UnauthenticatedError("More than one token was sent.")

    if header is not None and (token := bearer_token(header)) is not None:
        return Credential("token", token)
    if protocols:
        return Credential("token", protocols[0].removeprefix(SUBPROTOCOL_PREFIX))
    for kind in ("ticket", "token"):
        for name, value in parameters:
            if name == kind:
                return Credential(kind, value)
    return None


def _remove_secrets(scope: Scope) -> None:
    """Remove every credential from the scope; all else stays as it was, byte for byte."""
    scope["query_string"] = b"&".join(_without_secrets(scope.get("query_string", b"")))
    scope["subprotocols"] = [
        name for name in scope.get("subprotocols", ()) if not name.startswith(SUBPROTOCOL_PREFIX)
    ]
    scope["headers"] = [
        (name, _without_bearer(value) if name == b"sec-websocket-protocol" else value)
        for name, value in scope.get("headers", ())
        if name != b"authorization"
    ]


def _without_secrets(query: bytes) -> Iterator[bytes]:
    for piece in query.split(b"&"):
        # Older readers treat a semicolon as an ampersand: to them a parameter begins behind it.
        parts = piece.split(b";")
        count = next((n for n, part in enumerate(parts) if _is_like_a_secret(part)), len(parts))
        if count:
            yield b";".join(parts[:count])


def _is_like_a_secret(piece: bytes) -> bool:
    name = piece.partition(b"=")[0].decode("latin1")
    if len(name) > MAX_NAME_BYTES:
        return True
    for _ in range(_MOST_ENCODINGS):
        name = unquote_plus(name)
    return _LIKE_A_SECRET.fullmatch(name.partition("=")[0]) is not None


def _without_bearer(value: bytes) -> bytes:
    names = (name.strip() for name in value.split(b","))
    return b", ".join(name for name in names if not name.startswith(SUBPROTOCOL_PREFIX.encode()))


def _parameters(scope: Scope) -> Iterator[tuple[str, str]]:
    """Name and value of each piece of the query string; `%74oken` is `token` too."""
    for raw in scope.get("query_string", b"").split(b"&"):
        name, _, value = raw.decode("latin1").partition("=")
        yield unquote_plus(name), unquote_plus(value)


def one_header(scope: Scope, name: bytes) -> str | None:
    """The value of a header that must not come twice."""
    values = [value for header, value in scope.get("headers", ()) if header == name]
    if len(values) > 1:
        raise UnauthenticatedError("More than one token was sent.")
    return values[0].decode("latin1") if values else None
