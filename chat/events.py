"""The topic of a conversation, its events, and the renderings of sockets.

The field names are the wire's, and frozen: `docs/protocols/guide.md`.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from chat.models import Conversation, Participant
from realtime import ADDED, EVERYTHING, Event, Id, Moment, OnlyTypes, Seq, Uuid

Username = Annotated[str, Meta(examples=["ana"])]
Role = Annotated[str, Meta(extra_json_schema={"enum": Participant.Role.values})]
Kind = Annotated[str, Meta(extra_json_schema={"enum": Conversation.Kind.values})]
Title = Annotated[str, Meta(max_length=200, examples=["Project"])]
#: The user who did something; None where the server did, or where the user was deleted.
Author = Annotated[Id | None, Meta(description="Who did it; null where nobody in particular did.")]
Words = Annotated[str, Meta(examples=["Bonjour !"])]


def conversation_topic(conversation_id: int) -> str:
    """The topic of everything that happens in a conversation."""
    return f"conversation.{conversation_id:d}"  # any integer makes a name; nothing else needs checking


class MessageSent(Event, tag="message", frozen=True, kw_only=True):
    """A message; sent to all members of the conversation, its sender too."""

    message_id: Id
    sender_id: Id
    sender_username: Username
    content: Words
    created_at: Moment
    # A field of the guide: nobody has read a new message.
    is_read: Annotated[bool, Meta(description="False at birth; the history says it for its viewer.")] = False
    conversation_id: Id
    seq: Seq = 0
    client_id: Annotated[Uuid | None, Meta(description="What its sender called it.")] = None
    edited_at: Annotated[Moment | None, Meta(examples=[None])] = None


class MessageEdited(Event, tag="message_edited", frozen=True):
    """A message has another text. `content` is null where a newcomer may not read it: the history has it."""

    message_id: Id
    sender_id: Id
    content: Words | None
    edited_at: Moment
    conversation_id: Id
    seq: Seq = 0


class MessageDeleted(Event, tag="message_deleted", frozen=True):
    """A message was deleted. To a client that resumes it also stands where it and its edits stood."""

    message_id: Id
    deleted_by: Id
    deleted_at: Moment
    conversation_id: Id
    seq: Seq = 0
    message_seq: Annotated[
        Seq | None,
        Meta(description="Where the message stood: `seq` itself, in its place; null in that of an edit."),
        ADDED,
    ] = None
    sender_id: Annotated[Id | None, Meta(description="Whose it was."), ADDED] = None


class MemberAdded(Event, tag="member_added", frozen=True):
    """Somebody is a member from `seq` on."""

    user_id: Id
    username: Username
    role: Role
    added_by: Author
    conversation_id: Id
    seq: Seq = 0


class MemberRemoved(Event, tag="member_removed", frozen=True):
    """Somebody is no member any more; for that user it is the last event."""

    user_id: Id
    username: Username
    removed_by: Author
    conversation_id: Id
    seq: Seq = 0


class MemberRoleChanged(Event, tag="member_role_changed", frozen=True):
    """A member has another role."""

    user_id: Id
    username: Username
    role: Role
    changed_by: Author
    conversation_id: Id
    seq: Seq = 0


class MemberRenamed(Event, tag="member_renamed", frozen=True):
    """A member has another name; the old one is not repeated."""

    user_id: Id
    username: Username
    conversation_id: Id
    seq: Seq = 0


class ConversationRenamed(Event, tag="conversation_renamed", frozen=True):
    """A group has another title."""

    title: Title
    renamed_by: Author
    conversation_id: Id
    seq: Seq = 0


class ReceiptMoved(Event, tag="receipt", frozen=True):
    """A member has read, or received, more. Not numbered, and not kept."""

    user_id: Id
    delivered_seq: Seq
    read_seq: Seq
    conversation_id: Id


class CursorsMoved(Event, tag="cursors_moved", frozen=True):
    """On a user's own topic: their cursors moved, whether others are told or not. Ephemeral."""

    conversation_id: int
    delivered_seq: int
    read_seq: int


class ConversationJoined(Event, tag="conversation_joined", frozen=True):
    """On a user's own topic: the user is a member of a conversation from `conversation_seq` on."""

    conversation_id: Id
    title: Title
    kind: Kind
    conversation_seq: Seq
    seq: Seq = 0


class ConversationLeft(Event, tag="conversation_left", frozen=True):
    """On a user's own topic: the user is no member of a conversation any more."""

    conversation_id: Id
    seq: Seq = 0


#: The events that a socket on a conversation can be sent.
CONVERSATION_EVENTS = (
    MessageSent,
    MessageEdited,
    MessageDeleted,
    MemberAdded,
    MemberRemoved,
    MemberRoleChanged,
    MemberRenamed,
    ConversationRenamed,
    ReceiptMoved,
)

#: The guide's chat page knows only messages; it shows its own when they come back.
GUIDE_RENDERING = OnlyTypes(frozenset({"message"}))
V1_RENDERING = EVERYTHING
