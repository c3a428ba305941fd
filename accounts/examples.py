"""Examples of requests and answers about accounts, for the OpenAPI document: Ana, and David, who is new."""

from __future__ import annotations

from typing import Any

#: Shortened tokens: the rest of one is of no use to a reader.
ACCESS, REFRESH = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.access",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.refresh",
)
SESSION_ID = "5fb06a1c-22d4-4a9e-8f3b-0c7d1e2a9b64"

REGISTRATION = {"username": "david", "email": "david@example.com", "password": "correct-horse-battery"}
SIGN_IN = {"username": "ana", "password": "correct-horse-battery"}
PAIR = {"access": ACCESS, "refresh": REFRESH}
REFRESHING = {"refresh": REFRESH}
NEW_PASSWORD = {"old_password": "correct-horse-battery", "new_password": "staple-of-another-horse"}

ME: dict[str, Any] = {
    "id": 1,
    "username": "ana",
    "email": "ana@example.com",
    "language": "fr",
    "first_name": "Ana",
    "last_name": "",
    "shares_receipts": True,
    "shares_typing": True,
}
REGISTERED = ME | {
    "id": 4,
    "username": "david",
    "email": "david@example.com",
    "language": "",
    "first_name": "",
}
CHANGES = {"first_name": "Ana", "shares_typing": False}
ME_CHANGED = ME | CHANGES

TICKET = {"ticket": "Zk3vG1m0c1Jr8d2yqXo5Qw7n4bT6uHsLpA9eRfIiKjE", "expires_in": 30}

SESSIONS = {
    "results": [
        {
            "id": SESSION_ID,
            "created_at": "2026-12-01T09:00:00Z",
            "last_used_at": "2026-12-01T10:30:00Z",
            "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
            "address": "192.0.2.7",
            "current": True,
        }
    ]
}
