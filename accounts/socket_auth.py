"""SocketAuth authenticates a handshake: it adds the identity of its credential, or the error, to the scope.

Cookies are never read: a page of another origin could send them (cross-site WebSocket hijacking).
"""

from __future__ import annotations

import logging
from typing import Any

from django.contrib.auth.models import AnonymousUser

from accounts import tokens
from accounts.credentials import Application, Offer, Scope, one_header, use_up
from accounts.tickets import redeem_ticket
from accounts.tokens import Claims, Identity, claims_of
from realtime import BatchLoader, RealtimeError, run_in_thread

logger = logging.getLogger(__name__)

#: Looks up together the identities of sockets that open at the same moment.
identity_of: BatchLoader[Claims, Identity] = BatchLoader(tokens.identities_of)


async def identify(token: object) -> Identity:
    """The identity of an access token; raises a RealtimeError for one that is not valid."""
    return await identity_of(claims_of(token))


class SocketAuth:
    """Puts `identity`, `user` and `auth_error` into the scope of a socket; refusing is the consumer's part.

    It stands behind `Credentials`, which has read what the handshake offers.
    """

    def __init__(self, inner: Application) -> None:
        self.inner = inner

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        scope.pop("on_refused", None)  # from here on SocketAuth handles the tickets
        offer = scope.pop("offer")
        scope["secrets"] = offer.foreign  # for the sockets of foreign dialects, which use them themselves
        identity, error = await self._authenticate(scope, offer)
        scope["identity"] = identity
        scope["user"] = AnonymousUser() if identity is None else identity.user
        scope["auth_error"] = error
        scope["identify"] = identify  # for a token that comes on the open socket
        await self.inner(scope, receive, send)

    async def _authenticate(self, scope: Scope, offer: Offer) -> tuple[Identity | None, RealtimeError | None]:
        try:
            await use_up(offer.left_over)
            if offer.error is not None or offer.credential is None:
                return None, offer.error
            kind, secret = offer.credential
            if kind == "ticket":
                origin = one_header(scope, b"origin") or ""
                return await run_in_thread(redeem_ticket, secret=secret, origin=origin), None
            return await identity_of(claims_of(secret)), None
        except RealtimeError as error:
            return None, error
        except Exception:
            logger.exception("A socket could not be authenticated", extra={"socket_path": scope.get("path")})
            return None, RealtimeError()
