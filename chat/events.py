"""The topic of a conversation, its events, and the rendering of each kind of socket.

The field names are the wire's, and frozen: `docs/protocols/guide.md`.
"""

from __future__ import annotations

import datetime as dt
from uuid import UUID

from realtime import EVERYTHING, Event, OnlyTypes, topic


def conversation_topic(conversation_id: int) -> str:
    """The topic of everything that happens in a conversation."""
    return topic("conversation", conversation_id)


class MessageSent(Event, tag="message", frozen=True, kw_only=True):
    """A message: the guide's frame, with our fields after it."""

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
    """A message has another text; `content` is None where a newcomer may not read it: the history has it."""

    message_id: int
    sender_id: int
    content: str | None
    edited_at: dt.datetime
    conversation_id: int
    seq: int = 0


class MessageDeleted(Event, tag="message_deleted", frozen=True):
    """A message was deleted; in the log this is also the tombstone in the place of the message."""

    message_id: int
    deleted_by: int
    deleted_at: dt.datetime
    conversation_id: int
    seq: int = 0
    #: Whether it counted as unread: by where it stood, and whose it was. Older logs do not say it.
    message_seq: int | None = None
    sender_id: int | None = None


class MemberAdded(Event, tag="member_added", frozen=True):
    """Somebody is a member from this seq on."""

    user_id: int
    username: str
    role: str
    added_by: int | None
    conversation_id: int
    seq: int = 0


class MemberRemoved(Event, tag="member_removed", frozen=True):
    """Somebody is no member any more; the last event that they are told."""

    user_id: int
    username: str
    removed_by: int | None
    conversation_id: int
    seq: int = 0


class MemberRoleChanged(Event, tag="member_role_changed", frozen=True):
    """A member has another role."""

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
    """A group has another title."""

    title: str
    renamed_by: int | None
    conversation_id: int
    seq: int = 0


class ReceiptMoved(Event, tag="receipt", frozen=True):
    """A member got further. Ephemeral: what is stored is the cursors."""

    user_id: int
    delivered_seq: int
    read_seq: int
    conversation_id: int


class CursorsMoved(Event, tag="cursors_moved", frozen=True):
    """On a user's own topic: their cursors moved, whether others are told or not. Ephemeral."""

    conversation_id: int
    delivered_seq: int
    read_seq: int


class ConversationJoined(Event, tag="conversation_joined", frozen=True):
    """On a user's own topic: the user is a member of a conversation from `conversation_seq` on."""

    conversation_id: int
    title: str
    kind: str
    conversation_seq: int
    seq: int = 0


class ConversationLeft(Event, tag="conversation_left", frozen=True):
    """On a user's own topic: the user is no member of a conversation any more."""

    conversation_id: int
    seq: int = 0


#: The guide's chat page knows only messages, and draws its own when they come back.
GUIDE_RENDERING = OnlyTypes(frozenset({"message"}))
V1_RENDERING = EVERYTHING
