"""The chores of accounts: delete expired refresh tokens, socket tickets and sessions of the admin."""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.models import Session as AdminSession
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from accounts.models import Ticket
from realtime import daily, delete_some


@daily("refresh_tokens")
def forget_refresh_tokens(_position: Any) -> tuple[int, Any]:
    """Delete expired refresh tokens, as `flushexpiredtokens` does, in small steps."""
    return delete_some(OutstandingToken.objects.filter(expires_at__lte=timezone.now()))


@daily("tickets")
def forget_tickets(_position: Any) -> tuple[int, Any]:
    """Delete expired tickets; selling a ticket does so too, but leaves the last ones."""
    return delete_some(Ticket.objects.filter(expires_at__lt=timezone.now()))


@daily("admin_sessions")
def forget_admin_sessions(_position: Any) -> tuple[int, Any]:
    """Delete expired sessions of the admin, as `clearsessions` does."""
    return delete_some(AdminSession.objects.filter(expire_date__lt=timezone.now()))
