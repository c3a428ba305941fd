"""The topic of a conversation, its events, and how each kind of socket is told them.

The field names are the wire's, and frozen: `docs/protocols/native.md`.
"""

from __future__ import annotations

import datetime as dt
from uuid import UUID

from realtime import EVERYTHING, Event, OnlyTypes, topic


def conversation_topic(conversation_id: int) -> str:
    """Everything that happens in a conversation."""
    return topic("conversation", conversation_id)


class MessageSent(Event, tag="message", frozen=True, kw_only=True):
    """The guide's frame, with what we add after it."""

    message_id: int
    sender_id: int
    sender_username: str
    content: str
    created_at: dt.datetime
    is_read: bool = False  # at birth nobody has read it; the history says it for its viewer
    conversation_id: int
    seq: int = 0
    client_id: UUID | None = None
    edited_at: dt.datetime | None = None


class MessageEdited(Event, tag="message_edited", frozen=True):
    """`content` is None where a member came after the message and may not read it; the history has it."""

    message_id: int
    sender_id: int
    content: str | None
    edited_at: dt.datetime
    conversation_id: int
    seq: int = 0


class MessageDeleted(Event, tag="message_deleted", frozen=True):
    """Also the tombstone that takes the place of the message itself in the log."""

    message_id: int
    deleted_by: int
    deleted_at: dt.datetime
    conversation_id: int
    seq: int = 0


class MemberAdded(Event, tag="member_added", frozen=True):
    user_id: int
    username: str
    role: str
    added_by: int | None
    conversation_id: int
    seq: int = 0


class MemberRemoved(Event, tag="member_removed", frozen=True):
    """The last event the removed member is told."""

    user_id: int
    username: str
    removed_by: int | None
    conversation_id: int
    seq: int = 0


class MemberRoleChanged(Event, tag="member_role_changed", frozen=True):
    user_id: int
    username: str
    role: str
    changed_by: int | None
    conversation_id: int
    seq: int = 0


class MemberRenamed(Event, tag="member_renamed", frozen=True):
    """A member has another name; the old one is not repeated."""

    user_id: int
    username: str
    conversation_id: int
    seq: int = 0


class ConversationRenamed(Event, tag="conversation_renamed", frozen=True):
    title: str
    renamed_by: int | None
    conversation_id: int
    seq: int = 0


class ReceiptMoved(Event, tag="receipt", frozen=True):
    """How far a member got. Ephemeral: the cursors themselves are kept."""

    user_id: int
    delivered_seq: int
    read_seq: int
    conversation_id: int


class ConversationJoined(Event, tag="conversation_joined", frozen=True):
    """On a user's own topic: they are a member from `conversation_seq` on."""

    conversation_id: int
    title: str
    kind: str
    conversation_seq: int
    seq: int = 0


class ConversationLeft(Event, tag="conversation_left", frozen=True):
    """On a user's own topic: they are no member any more."""

    conversation_id: int
    seq: int = 0


#: The guide's chat page knows messages and nothing else. Its own come back too: it draws what it receives.
GUIDE_RENDERING = OnlyTypes(frozenset({"message"}))
V1_RENDERING = EVERYTHING
