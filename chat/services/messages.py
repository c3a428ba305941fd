"""Checking, editing and deleting messages; `sends` stores them."""

from __future__ import annotations

from functools import partial
from uuid import UUID

import msgspec
from django.db import transaction

from accounts.models import User
from chat.errors import (
    EmptyMessageError,
    MessageNotFoundError,
    MessageTooLongError,
    NotAParticipantError,
    NotYourMessageError,
    TooManyEditsError,
)
from chat.events import MessageDeleted, MessageEdited, conversation_topic
from chat.models import Message, Participant
from chat.services.unread import conversations_moved
from realtime import (
    InvalidFrameError,
    LockedTopic,
    NotAllowedError,
    announce,
    announcing,
    clean_text,
    conf,
    events,
    log,
)

#: Edits of one message: enough for a text that is saved while it is typed, while the row stays small.
MAX_EDITS = 1_000
#: Messages deleted in one transaction, which holds their conversation for some tens of milliseconds.
DELETED_TOGETHER = 10


def clean_content(content: object) -> str:
    """Check the text of a message, and return it as it may be stored."""
    if isinstance(content, str) and len(content) > conf.limit_content:
        raise MessageTooLongError(f"A message may have {conf.limit_content} characters.")
    text = clean_text(content, max_length=conf.limit_content)
    if not text.strip():
        raise EmptyMessageError
    return text


def clean_client_id(name: object) -> UUID:
    """The UUID in a text: with or without dashes, in braces or as a URN, in upper or lower case."""
    if isinstance(name, str):
        bare = name[1:-1] if name[:1] == "{" and name[-1:] == "}" else name
        try:
            # Not by UUID(), which takes dashes and braces anywhere, and digits of any script.
            return msgspec.convert(bare.lower().removeprefix("urn:uuid:"), UUID)
        except (msgspec.ValidationError, UnicodeError):
            pass
    raise InvalidFrameError("The client_id is not a UUID.")


@announcing()
def edit_message(*, conversation_id: int, message_id: int, by: User, content: str) -> int:
    """Change the text of one's own message; returns the seq of the edit's event."""
    content = clean_content(content)
    topic = _locked_topic(conversation_id)
    participant = _participant(conversation_id, by)
    message = _visible_message(participant, message_id)
    if message.sender_id != by.pk:
        raise NotYourMessageError
    return _edit(topic, message, content=content)


@announcing()
def delete_message(*, conversation_id: int, message_id: int, by: User) -> int:
    """Delete one's own message, or as a manager any: its text leaves the tables and the log."""
    topic = _locked_topic(conversation_id)
    participant = _participant(conversation_id, by)
    message = _visible_message(participant, message_id)
    if message.sender_id != by.pk and not participant.manages:
        raise NotAllowedError("Only its sender or a manager may delete a message.")
    return _delete(topic, message, by=by)


def delete_messages_of(sender: User) -> int:
    """Delete all messages of a user, as the user could; returns their number."""
    deleted = 0
    theirs = Message.objects.filter(sender=sender, deleted_at__isnull=True)
    for conversation_id in theirs.order_by().values_list("conversation_id", flat=True).distinct():
        after = 0
        while seqs := _delete_some(conversation_id, sender, after):
            deleted, after = deleted + len(seqs), seqs[-1]
    return deleted


@announcing()
def _delete_some(conversation_id: int, sender: User, after: int) -> list[int]:
    topic = _locked_topic(conversation_id)
    theirs = Message.objects.filter(
        conversation_id=conversation_id, sender=sender, deleted_at__isnull=True, seq__gt=after
    ).order_by("seq")[:DELETED_TOGETHER]
    for message in theirs:
        _delete(topic, message, by=sender)
    return [message.seq for message in theirs]


@announcing()
def moderate_message(*, message_id: int, by: User, content: str | None) -> int:
    """As the site's staff, replace the text of a message, or delete it (None)."""
    conversation_id = Message.objects.values_list("conversation_id", flat=True).get(pk=message_id)
    topic = _locked_topic(conversation_id)
    message = Message.objects.filter(pk=message_id, deleted_at__isnull=True).first()
    if message is None:
        raise MessageNotFoundError
    if content is None:
        return _delete(topic, message, by=by)
    return _edit(topic, message, content=clean_content(content))


def _locked_topic(conversation_id: int) -> LockedTopic | None:
    return log.lock([conversation_topic(conversation_id)], create=False).get(
        conversation_topic(conversation_id)
    )


def _participant(conversation_id: int, user: User) -> Participant:
    rows = Participant.objects.select_related("conversation")
    participant = rows.filter(conversation_id=conversation_id, user=user).first()
    if participant is None:
        raise NotAParticipantError
    return participant


def _visible_message(participant: Participant, message_id: int) -> Message:
    message = Message.objects.filter(
        pk=message_id,
        conversation_id=participant.conversation_id,
        seq__gt=0 if participant.conversation.opens_history else participant.joined_seq,
        deleted_at__isnull=True,
    ).first()
    if message is None:
        raise MessageNotFoundError
    return message


def _edit(topic: LockedTopic | None, message: Message, *, content: str) -> int:
    if len(message.edit_seqs) >= MAX_EDITS:
        raise TooManyEditsError
    moment = events.now()
    event = MessageEdited(
        message_id=message.pk,
        sender_id=message.sender_id,
        content=content if _is_for_all(message) else None,
        edited_at=moment,
        conversation_id=message.conversation_id,
    )
    seq = _tell(topic, event)
    message.content, message.edited_at = content, moment
    message.edit_seqs.append(seq)
    message.save(update_fields=["content", "edited_at", "edit_seqs"])
    return seq


def _is_for_all(message: Message) -> bool:
    """Whether all members may read the message: its edit is a new event, which newer members receive too."""
    newcomers = Participant.objects.filter(
        conversation_id=message.conversation_id,
        conversation__opens_history=False,
        joined_seq__gte=message.seq,
    )
    return not newcomers.exists()


def _delete(topic: LockedTopic | None, message: Message, *, by: User) -> int:
    moment = events.now()
    event = MessageDeleted(
        message_id=message.pk,
        deleted_by=by.pk,
        deleted_at=moment,
        conversation_id=message.conversation_id,
        message_seq=message.seq,
        sender_id=message.sender_id,
    )
    name = conversation_topic(message.conversation_id)
    # A tombstone in an edit's place has no message_seq, so that clients count the message only once.
    of_an_edit = msgspec.structs.replace(event, message_seq=None)
    log.bury(name, {message.seq: event, **dict.fromkeys(message.edit_seqs, of_an_edit)})
    seq = _tell(topic, event)
    message.content, message.deleted_at, message.deleted_seq = "", moment, seq
    message.save(update_fields=["content", "deleted_at", "deleted_seq"])
    # Inboxes count the message until they are noted again.
    transaction.on_commit(partial(conversations_moved, [message.conversation_id]))
    return seq


def _tell(topic: LockedTopic | None, event: MessageEdited | MessageDeleted) -> int:
    name = conversation_topic(event.conversation_id)
    logged = log.append([(name, event)], locked={name: topic} if topic else None)
    announce(logged)
    return logged[0].seq or 0
