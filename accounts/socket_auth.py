"""How sockets learn who is asking. The one place outside `JsonSocket` that crosses from `await` to the ORM.

Cookies are never read: a page of another origin could send them (cross-site WebSocket hijacking).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote_plus

from django.contrib.auth.models import AnonymousUser

from accounts import tokens
from accounts.authentication import bearer_token
from accounts.tickets import redeem_ticket
from accounts.tokens import Claims, Identity, claims_of, identify
from realtime.asking import Asking
from realtime.errors import RealtimeError, UnauthenticatedError
from realtime.threads import run_in_thread

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Application = Callable[[Any, Any, Any], Awaitable[None]]

SUBPROTOCOL_PREFIX = "bearer."
#: Who opens sockets at the same moment is looked up together.
identity_of: Asking[Claims, Identity] = Asking(tokens.identities_of)

_SECRET_PARAMETERS = frozenset({"token", "ticket"})


class Credential(NamedTuple):
    """What a client offers to prove who it is."""

    kind: Literal["token", "ticket"]
    secret: str


class SocketAuth:
    """Puts `identity`, `user` and `auth_error` into the scope of a socket; refusing is the consumer's part.

    A secret is taken out of the scope once it is read, in place: the server writes its access log from
    the same object, after us.
    """

    def __init__(self, inner: Application) -> None:
        self.inner = inner

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            identity, error = await self._authenticate(scope)
            scope["identity"] = identity
            scope["user"] = AnonymousUser() if identity is None else identity.user
            scope["auth_error"] = error
            scope["identify"] = identify  # for `auth.refresh`, a new token on the open socket
        await self.inner(scope, receive, send)

    async def _authenticate(self, scope: Scope) -> tuple[Identity | None, RealtimeError | None]:
        try:
            try:
                credential = credential_of(scope)
            finally:
                remove_secrets(scope)
            if credential is None:
                return None, None
            if credential.kind == "ticket":
                origin = _one_header(scope, b"origin") or ""
                return await run_in_thread(redeem_ticket, secret=credential.secret, origin=origin), None
            return await identity_of(claims_of(credential.secret)), None
        except RealtimeError as error:
            return None, error
        except Exception:
            logger.exception("A socket could not be authenticated", extra={"socket_path": scope.get("path")})
            return None, RealtimeError()


def credential_of(scope: Scope) -> Credential | None:
    """The one credential of a handshake: header, then subprotocol, then ticket, then `?token=`.

    A kind that is given twice is refused: two readers might pick different ones.
    """
    header = _one_header(scope, b"authorization")
    protocols = [name for name in scope.get("subprotocols", ()) if name.startswith(SUBPROTOCOL_PREFIX)]
    parameters = [(name, value) for name, value, _ in _parameters(scope) if name in _SECRET_PARAMETERS]
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


def remove_secrets(scope: Scope) -> None:
    """Take every credential out of the scope; what else it holds stays as it was, byte for byte."""
    kept = [raw for name, _, raw in _parameters(scope) if name not in _SECRET_PARAMETERS]
    scope["query_string"] = b"&".join(kept)
    scope["subprotocols"] = [
        name for name in scope.get("subprotocols", ()) if not name.startswith(SUBPROTOCOL_PREFIX)
    ]
    scope["headers"] = [
        (name, _without_bearer(value) if name == b"sec-websocket-protocol" else value)
        for name, value in scope.get("headers", ())
        if name != b"authorization"
    ]


def _without_bearer(value: bytes) -> bytes:
    names = (name.strip() for name in value.split(b","))
    return b", ".join(name for name in names if not name.startswith(SUBPROTOCOL_PREFIX.encode()))


def _parameters(scope: Scope) -> list[tuple[str, str, bytes]]:
    """Name, value and raw bytes of each piece of the query string; `%74oken` is `token` too."""
    found = []
    for raw in scope.get("query_string", b"").split(b"&"):
        name, _, value = raw.decode("latin1").partition("=")
        found.append((unquote_plus(name), unquote_plus(value), raw))
    return found


def _one_header(scope: Scope, name: bytes) -> str | None:
    values = [value for header, value in scope.get("headers", ()) if header == name]
    if len(values) > 1:
        raise UnauthenticatedError("More than one token was sent.")
    return values[0].decode("latin1") if values else None
