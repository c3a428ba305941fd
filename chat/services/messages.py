"""Sending, editing and deleting messages.

Sends are stored in batches: one transaction, the conversations' topics locked first, the outcome of
each send its own. Whatever is checked under the lock (membership, duplicates) therefore holds at the
very seq the message gets.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from django.db import DataError, IntegrityError, transaction

from accounts.models import User
from chat.errors import (
    EmptyMessageError,
    MessageNotFoundError,
    MessageTooLongError,
    NotAParticipantError,
    NotYourMessageError,
)
from chat.events import MessageDeleted, MessageEdited, MessageSent, conversation_topic
from chat.models import Message, Participant
from chat.moved import conversations_moved
from realtime import events, log
from realtime.errors import NotAllowedError, RealtimeError
from realtime.frames import clean_text
from realtime.models import Topic
from realtime.publishing import announce, announcing

MAX_CONTENT_LENGTH = 8_000  # characters: two pages of text, and at most 32 KiB of UTF-8


@dataclass(frozen=True, slots=True)
class Draft:
    """A message somebody wants to send."""

    conversation_id: int
    sender: User
    content: str
    client_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """What the sender is told once it is stored; `duplicate` when it had been stored before."""

    message_id: int
    seq: int
    created_at: dt.datetime
    client_id: UUID | None
    duplicate: bool = False


Outcome = Sent | RealtimeError


def clean_content(content: object) -> str:
    """The text of a message as it may be stored."""
    if isinstance(content, str) and len(content) > MAX_CONTENT_LENGTH:
        raise MessageTooLongError(f"A message may have {MAX_CONTENT_LENGTH} characters.")
    text = clean_text(content, max_length=MAX_CONTENT_LENGTH)
    if not text.strip():
        raise EmptyMessageError
    return text


def send_messages(drafts: Sequence[Draft]) -> list[Outcome]:
    """Store drafts in their order and announce them; one that is refused refuses no other."""
    try:
        return _send_together(drafts)
    except (IntegrityError, DataError):
        # Two processes raced on one client_id, or the database refused one text: find out which.
        if len(drafts) == 1:
            raise
        return [_send_alone(draft) for draft in drafts]


def _send_alone(draft: Draft) -> Outcome:
    try:
        return _send_together([draft])[0]
    except (IntegrityError, DataError):
        return RealtimeError()


@announcing()
def _send_together(drafts: Sequence[Draft]) -> list[Outcome]:
    names = {draft.conversation_id: conversation_topic(draft.conversation_id) for draft in drafts}
    topics = log.lock(names.values(), create=False)
    senders = _participants(drafts)
    known = _stored_before(drafts)

    outcomes: list[Outcome | Message] = []
    new: list[Message] = []
    moment = events.now()
    ahead: dict[int, int] = {}
    for draft in drafts:
        identity = (draft.conversation_id, draft.sender.pk, draft.client_id)
        if identity[:2] not in senders or names[draft.conversation_id] not in topics:
            outcomes.append(NotAParticipantError())
            continue
        if draft.client_id is not None and (message := known.get(identity)) is not None:
            outcomes.append(message)
            continue
        ahead[draft.conversation_id] = ahead.get(draft.conversation_id, 0) + 1
        message = Message(
            conversation_id=draft.conversation_id,
            seq=topics[names[draft.conversation_id]].head + ahead[draft.conversation_id],
            sender=draft.sender,
            client_id=draft.client_id,
            content=draft.content,
            created_at=moment,
        )
        known[identity] = message
        new.append(message)
        outcomes.append(message)

    Message.objects.bulk_create(new)
    announce(log.append([(names[message.conversation_id], _sent(message)) for message in new], locked=topics))

    transaction.on_commit(partial(conversations_moved, [message.conversation_id for message in new]))
    unanswered = {message.pk for message in new}
    return [_outcome(outcome, unanswered) for outcome in outcomes]


def _outcome(outcome: Outcome | Message, unanswered: set[int]) -> Outcome:
    if not isinstance(outcome, Message):
        return outcome
    # The same client_id twice in one batch is one row and two answers, the second a duplicate.
    duplicate = outcome.pk not in unanswered
    unanswered.discard(outcome.pk)
    return Sent(outcome.pk, outcome.seq, outcome.created_at, outcome.client_id, duplicate)


def _participants(drafts: Sequence[Draft]) -> set[tuple[int, int]]:
    rows = Participant.objects.filter(
        conversation_id__in={draft.conversation_id for draft in drafts},
        user_id__in={draft.sender.pk for draft in drafts},
    )
    return set(rows.values_list("conversation_id", "user_id"))


def _stored_before(drafts: Sequence[Draft]) -> dict[tuple[int, int, UUID | None], Message]:
    named = {draft.client_id for draft in drafts if draft.client_id is not None}
    if not named:
        return {}
    rows = Message.objects.filter(
        conversation_id__in={draft.conversation_id for draft in drafts},
        sender_id__in={draft.sender.pk for draft in drafts},
        client_id__in=named,
    )
    return {(row.conversation_id, row.sender_id, row.client_id): row for row in rows}


def _sent(message: Message) -> MessageSent:
    return MessageSent(
        message_id=message.pk,
        sender_id=message.sender_id,
        sender_username=message.sender.username,
        content=message.content,
        created_at=message.created_at,
        conversation_id=message.conversation_id,
        client_id=message.client_id,
    )


@announcing()
def edit_message(*, conversation_id: int, message_id: int, by: User, content: str) -> int:
    """Change the text of one's own message; the seq of the event that says so."""
    content = clean_content(content)
    topic = _locked_topic(conversation_id)
    participant = _participant(conversation_id, by)
    message = _visible_message(participant, message_id)
    if message.sender_id != by.pk:
        raise NotYourMessageError
    return _edit(topic, message, content=content)


@announcing()
def delete_message(*, conversation_id: int, message_id: int, by: User) -> int:
    """Delete a message, one's own or as a manager: its text leaves the tables and the log too."""
    topic = _locked_topic(conversation_id)
    participant = _participant(conversation_id, by)
    message = _visible_message(participant, message_id)
    if message.sender_id != by.pk and not participant.manages:
        raise NotAllowedError("Only its sender or a manager may delete a message.")
    return _delete(topic, message, by=by)


@announcing()
def moderate_message(*, message_id: int, by: User, content: str | None) -> int:
    """As the site's staff, replace the text of any message, or delete it (None)."""
    conversation_id = Message.objects.values_list("conversation_id", flat=True).get(pk=message_id)
    topic = _locked_topic(conversation_id)
    message = Message.objects.filter(pk=message_id, deleted_at__isnull=True).first()
    if message is None:
        raise MessageNotFoundError
    if content is None:
        return _delete(topic, message, by=by)
    return _edit(topic, message, content=clean_content(content))


def _locked_topic(conversation_id: int) -> Topic | None:
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


def _edit(topic: Topic | None, message: Message, *, content: str) -> int:
    moment = events.now()
    event = MessageEdited(
        message_id=message.pk,
        sender_id=message.sender_id,
        content=content,
        edited_at=moment,
        conversation_id=message.conversation_id,
    )
    seq = _tell(topic, event)
    message.content, message.edited_at = content, moment
    message.edit_seqs.append(seq)
    message.save(update_fields=["content", "edited_at", "edit_seqs"])
    return seq


def _delete(topic: Topic | None, message: Message, *, by: User) -> int:
    moment = events.now()
    event = MessageDeleted(
        message_id=message.pk, deleted_by=by.pk, deleted_at=moment, conversation_id=message.conversation_id
    )
    name = conversation_topic(message.conversation_id)
    log.bury(name, seqs=[message.seq, *message.edit_seqs], tombstone=event)
    seq = _tell(topic, event)
    message.content, message.deleted_at = "", moment
    message.save(update_fields=["content", "deleted_at"])
    return seq


def _tell(topic: Topic | None, event: MessageEdited | MessageDeleted) -> int:
    name = conversation_topic(event.conversation_id)
    logged = log.append([(name, event)], locked={name: topic} if topic else None)
    announce(logged)
    return logged[0].seq or 0
