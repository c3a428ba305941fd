"""Answers about an inbox: questions and changes, for REST and the native socket alike."""

from __future__ import annotations

from typing import Any

from notifications import selectors, serializers, services


def inbox(
    user_id: int, *, limit: int, before: int | None = None, after: int | None = None, unread: bool = False
) -> dict[str, Any]:
    """A page of the inbox, newest first, with the ids from which its neighbours are asked for."""
    return shown(selectors.inbox(user_id=user_id, limit=limit, before=before, after=after, unread=unread))


def shown(page: selectors.InboxPage) -> dict[str, Any]:
    """A page of the inbox in the form of an answer."""
    return {
        "results": serializers.NotificationSerializer(page.notifications, many=True).data,
        "has_more": page.older_before is not None,
        "older_before": page.older_before,
        "newer_after": page.newer_after,
        "unread_count": page.standing.unread_count,
        "last_seq": page.standing.end.seq,
        "last_position": str(page.standing.end),
    }


def read_all(user_id: int) -> dict[str, int]:
    """Mark all entries as read."""
    return {"read": services.mark_all_read(user_id=user_id), "unread_count": 0}
