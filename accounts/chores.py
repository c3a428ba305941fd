"""What of accounts expires: refresh tokens that were used up, socket tickets, sessions of the admin."""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.models import Session as AdminSession
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from accounts.models import Ticket
from realtime import daily, delete_some


@daily("refresh_tokens")
def forget_refresh_tokens(_position: Any) -> tuple[int, Any]:
    """What `flushexpiredtokens` does, in small steps."""
    return delete_some(OutstandingToken.objects.filter(expires_at__lte=timezone.now()))


@daily("tickets")
def forget_tickets(_position: Any) -> tuple[int, Any]:
    """Selling one deletes the old ones; the last are left."""
    return delete_some(Ticket.objects.filter(expires_at__lt=timezone.now()))


@daily("admin_sessions")
def forget_admin_sessions(_position: Any) -> tuple[int, Any]:
    """What `clearsessions` does."""
    return delete_some(AdminSession.objects.filter(expire_date__lt=timezone.now()))
