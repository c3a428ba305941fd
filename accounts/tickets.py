"""One-time tickets, with which a page opens a socket without a token in its address.

`POST /api/ws-ticket/` gives 30 seconds to open `?ticket=…` once, from the same Origin. In a log or a
history it is worth nothing by the time someone reads it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from collections.abc import Collection

from django.utils import timezone

from accounts.models import Ticket
from accounts.tokens import Claims, Identity, identity_of
from realtime import InvalidInputError, TokenExpiredError, UnauthenticatedError

TICKET_TTL_SECONDS = 30  # a page opens its socket at once; the rest is for a slow network
MAX_SECRET_CHARACTERS = 100  # ours have 43
MAX_ORIGIN_CHARACTERS = 300  # a host name has 253 at most


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def sell_ticket(*, identity: Identity, origin: str = "") -> str:
    """Make a secret that opens one socket as this identity, if it comes from `origin` (when there is one)."""
    if len(origin) > MAX_ORIGIN_CHARACTERS:
        raise InvalidInputError("The Origin is too long.")
    now = timezone.now()
    Ticket.objects.filter(expires_at__lt=now).delete()  # so that the table stays as small as its last minute
    secret = secrets.token_urlsafe(32)
    Ticket.objects.create(
        digest=_digest(secret),
        user=identity.user,
        session_id=identity.session_id,
        origin=origin,
        expires_at=now + dt.timedelta(seconds=TICKET_TTL_SECONDS),
        token_expires_at=dt.datetime.fromtimestamp(identity.expires_at, dt.UTC),
    )
    return secret


def redeem_ticket(*, secret: str, origin: str = "") -> Identity:
    """Use up a ticket; returns its buyer's identity. One from a wrong Origin has leaked: used up too."""
    if not 0 < len(secret) <= MAX_SECRET_CHARACTERS:
        raise UnauthenticatedError
    found = Ticket.objects.filter(pk=_digest(secret))
    ticket = found.first()
    if ticket is None:
        raise UnauthenticatedError
    used_up, _ = found.delete()  # of two at once, the database lets one delete the row
    now = timezone.now()
    if not used_up or ticket.expires_at <= now or (ticket.origin and ticket.origin != origin):
        raise UnauthenticatedError
    if ticket.token_expires_at <= now:
        raise TokenExpiredError
    return identity_of(Claims(ticket.user_id, ticket.session_id, ticket.token_expires_at.timestamp()))


def use_up_tickets(shown: Collection[str]) -> dict[str, None]:
    """Use up tickets of refused handshakes: nobody who read them on their way may use them later."""
    digests = [_digest(secret) for secret in shown if 0 < len(secret) <= MAX_SECRET_CHARACTERS]
    # A query first: tickets that strangers invent cost no write.
    if found := list(Ticket.objects.filter(pk__in=digests).values_list("pk", flat=True)):
        Ticket.objects.filter(pk__in=found).delete()
    return dict.fromkeys(shown)
