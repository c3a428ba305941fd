"""Example requests and answers about notifications for the OpenAPI document: Ana has paid."""

from __future__ import annotations

from typing import Any

NOTIFICATION_ID = 31

NOTIFICATION: dict[str, Any] = {
    "id": NOTIFICATION_ID,
    "type": "payment_completed",
    "kind": "payment_completed",
    "title": "Payment confirmed",
    "message": "Your payment has been processed",
    "data": {"payment_id": 789},
    "created_at": "2026-12-01T10:30:00Z",
    "read_at": None,
    "count": 1,
}
INBOX = {
    "results": [NOTIFICATION],
    "next": "https://relais.example/api/notifications/?before=31&limit=1",
    "previous": None,
    "has_more": True,
    "unread_count": 3,
    "last_seq": 12,
    "last_position": "12-08d5f1c37e",
}
TO_ONE = {"username": "ana", "kind": "payment_completed", "data": {"payment_id": 789}}
SENT_TO_ONE = {"user_id": 1} | {name: value for name, value in NOTIFICATION.items() if name != "read_at"}
TO_MANY = {"users": [1, "bruno"], "kind": "payment_completed", "data": {"payment_id": 789}}
SENT_TO_MANY = {"results": [SENT_TO_ONE, SENT_TO_ONE | {"id": 32, "user_id": 2}]}
UNREAD = {"unread_count": 2}
ALL_READ = {"read": 3, "unread_count": 0}
