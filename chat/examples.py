"""Example requests and answers about conversations for the OpenAPI document: Ana's and Bruno's."""

from __future__ import annotations

from typing import Any

CONVERSATION_ID, MESSAGE_ID, USER_ID = 123, 45, 2
CLIENT_ID = "0192f0c1-6c1e-7cc2-a1f5-3a1f0f5d9a01"
POSITION = "14-3f9c2a71d0"

ANA: dict[str, Any] = {
    "user_id": 1,
    "username": "ana",
    "role": "owner",
    "joined_at": "2026-12-01T09:00:00Z",
    "joined_seq": 0,
    "delivered_seq": 14,
    "read_seq": 12,
}
BRUNO: dict[str, Any] = {
    "user_id": USER_ID,
    "username": "bruno",
    "role": "member",
    "joined_at": "2026-12-01T09:00:00Z",
    "joined_seq": 0,
    "delivered_seq": 14,
    "read_seq": 14,
}
CLARA: dict[str, Any] = {
    "user_id": 3,
    "username": "clara",
    "role": "member",
    "joined_at": "2026-12-01T10:31:00Z",
    "joined_seq": 15,
    "delivered_seq": 0,
    "read_seq": 0,
}
MESSAGE: dict[str, Any] = {
    "type": "message",
    "message_id": MESSAGE_ID,
    "sender_id": USER_ID,
    "sender_username": "bruno",
    "content": "Bonjour !",
    "created_at": "2026-12-01T10:30:00Z",
    "is_read": False,
    "conversation_id": CONVERSATION_ID,
    "seq": 14,
    "client_id": CLIENT_ID,
    "edited_at": None,
    "deleted_at": None,
    "position": POSITION,
}
CONVERSATION: dict[str, Any] = {
    "id": CONVERSATION_ID,
    "kind": "group",
    "title": "Project",
    "opens_history": False,
    "created_at": "2026-12-01T09:00:00Z",
    "role": "owner",
    "member_count": 2,
    "members": [ANA, BRUNO],
    "last_message": MESSAGE,
    "unread_count": 1,
    "read_seq": 12,
    "last_seq": 14,
    "last_position": POSITION,
}
NEW_GROUP = CONVERSATION | {
    "members": [member | {"delivered_seq": 0, "read_seq": 0} for member in (ANA, BRUNO)],
    "last_message": None,
    "unread_count": 0,
    "read_seq": 0,
    "last_seq": 0,
    "last_position": "0",
}
DIRECT = CONVERSATION | {
    "kind": "direct",
    "title": "",
    "opens_history": True,
    "members": [ANA, BRUNO | {"role": "owner"}],
}

CONVERSATIONS = {
    "results": [CONVERSATION],
    "next": "https://relais.example/api/conversations/?cursor=1796121000000-123-1796121060000&limit=1",
    "has_more": True,
}
HISTORY = {
    "results": [MESSAGE],
    "next": "https://relais.example/api/conversations/123/messages/?before=14&limit=1",
    "previous": None,
    "has_more": True,
    "last_seq": 14,
    "last_position": POSITION,
}

CREATING = {"participants": ["bruno"], "title": "Project", "opens_history": False}
RENAMING = {"title": "Project"}
SENDING = {"message": "Bonjour !", "client_id": CLIENT_ID}
SENT: dict[str, Any] = {
    "message_id": MESSAGE_ID,
    "seq": 14,
    "created_at": "2026-12-01T10:30:00Z",
    "client_id": CLIENT_ID,
    "duplicate": False,
}
SENT_BEFORE = SENT | {"duplicate": True}
EDITING = {"message": "Bonsoir !"}
DONE = {"seq": 15}
ADDING = {"participants": ["clara"], "role": "member"}
CHANGING_ROLE = {"role": "admin"}
BRUNO_AS_ADMIN = BRUNO | CHANGING_ROLE
MOVING = {"up_to_seq": 14}
READ = {"delivered_seq": 14, "read_seq": 14, "unread_count": 0}
DELIVERED = READ | {"read_seq": 12, "unread_count": 1}
