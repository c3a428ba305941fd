"""Sending, editing and deleting messages.

Sends are stored in batches: one transaction, the conversations' topics locked first, the outcome of
each send its own. Whatever is checked under the lock (membership, duplicates) therefore holds at the
very seq the message gets.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from django.db import DataError, IntegrityError, InterfaceError, OperationalError, transaction

from accounts.models import User
from chat import metrics, rows
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
from realtime.errors import BusyError, NotAllowedError, RealtimeError, UnavailableError, UncertainError
from realtime.frames import clean_text
from realtime.log import LockedTopic
from realtime.publishing import announce, announcing

MAX_CONTENT_LENGTH = 8_000  # characters: two pages of text, and at most 32 KiB of UTF-8
#: Seconds a send waits for a conversation that another transaction holds: every send is answered within 2 s.
LOCK_PATIENCE = 1.5
RETRY_MS = 1_000


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


def send_messages(drafts: Sequence[Draft], *, patience: float = LOCK_PATIENCE) -> list[Outcome]:
    """Store drafts in their order and announce them; one that is refused refuses no other.

    What another transaction holds is waited for so many seconds, and then all drafts are refused with a
    BusyError. With a patience of 0 only those are whose conversation is held at this moment.
    """
    try:
        return _send_together(drafts, patience)
    except BusyError as busy:
        return [busy] * len(drafts)
    except (IntegrityError, DataError):
        # The database refused one of them: find out which.
        if len(drafts) == 1:
            raise
        return _send_each(drafts, patience)


def _send_each(drafts: Sequence[Draft], patience: float) -> list[Outcome]:
    """Each in a transaction of its own; behind one whose conversation is held, the others wait."""
    outcomes: list[Outcome] = []
    held: dict[int, Outcome] = {}
    for draft in drafts:
        outcome = held.get(draft.conversation_id) or _send_alone(draft, patience)
        outcomes.append(outcome)
        if isinstance(outcome, BusyError):
            held[draft.conversation_id] = outcome
        elif isinstance(outcome, UnavailableError):  # so are the others, and none of them was tried
            untried = len(drafts) - len(outcomes)
            return outcomes + [UnavailableError(retry_after_ms=RETRY_MS) for _ in range(untried)]
    return outcomes


def _send_alone(draft: Draft, patience: float) -> Outcome:
    try:
        return _send_together([draft], patience)[0]
    except (BusyError, UncertainError) as error:
        return error
    except (OperationalError, InterfaceError):
        return UnavailableError(retry_after_ms=RETRY_MS)
    except (IntegrityError, DataError):
        return RealtimeError()


def _send_together(drafts: Sequence[Draft], patience: float) -> list[Outcome]:
    is_committing = False
    try:
        with announcing():
            outcomes = _store(drafts, patience)
            is_committing = True
    except (OperationalError, InterfaceError) as error:
        if is_committing:
            # The commit may have been the last thing that the database heard.
            raise UncertainError(retry_after_ms=RETRY_MS) from error
        raise
    return outcomes


def _store(drafts: Sequence[Draft], patience: float) -> list[Outcome]:
    names = {draft.conversation_id: conversation_topic(draft.conversation_id) for draft in drafts}
    topics = log.lock(names.values(), create=False, patience=patience)
    identities = [(draft.conversation_id, draft.sender.pk, draft.client_id) for draft in drafts]
    ids = rows.look_up(identities)

    moment = events.now()
    outcomes: dict[int, Outcome] = {}
    told: dict[int, MessageSent] = {}
    repeats: dict[int, int] = {}
    named: dict[tuple[int, int, UUID | None], int] = {}
    for place, (draft, identity) in enumerate(zip(drafts, identities, strict=True)):
        if place not in ids:
            outcomes[place] = NotAParticipantError()
            continue
        if names[draft.conversation_id] not in topics:
            outcomes[place] = NotAParticipantError() if patience else BusyError(retry_after_ms=RETRY_MS)
            continue
        earlier, message_id = ids[place]
        if draft.client_id is not None:
            # The same client_id twice in one batch is one row and two answers, the second a duplicate.
            earlier = earlier or named.get(identity)
            named.setdefault(identity, message_id)
        if earlier is not None:
            repeats[place] = earlier
            continue
        told[place] = MessageSent(
            message_id=message_id,
            sender_id=identity[1],
            sender_username=draft.sender.username,
            content=draft.content,
            created_at=moment,
            conversation_id=draft.conversation_id,
            client_id=draft.client_id,
        )

    sent = _tell_and_keep([(names[event.conversation_id], event) for event in told.values()], topics, moment)
    outcomes.update(zip(told, sent, strict=True))
    # Read after the writing: what a draft repeats may have been stored with it.
    stored = Message.objects.in_bulk(set(repeats.values()))
    for place, message_id in repeats.items():
        message = stored[message_id]
        outcomes[place] = Sent(message.pk, message.seq, message.created_at, message.client_id, duplicate=True)
    return [outcomes[place] for place in range(len(drafts))]


def _tell_and_keep(
    entries: Sequence[tuple[str, MessageSent]], topics: Mapping[str, LockedTopic], moment: dt.datetime
) -> list[Sent]:
    """Write new messages to the log, which gives them their places, and to their table."""
    if not entries:
        return []
    logged = log.append(entries, locked=topics)
    said = [(event, entry.seq or 0) for (_, event), entry in zip(entries, logged, strict=True)]
    rows.insert_messages(
        [
            rows.NewMessage(m.message_id, m.conversation_id, seq, m.sender_id, m.client_id, m.content)
            for m, seq in said
        ],
        moment,
    )
    announce(logged)
    transaction.on_commit(partial(conversations_moved, {message.conversation_id for message, _ in said}))
    transaction.on_commit(partial(metrics.STORED.add, n=len(said)))
    return [Sent(message.message_id, seq, moment, message.client_id) for message, seq in said]


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


def _delete(topic: LockedTopic | None, message: Message, *, by: User) -> int:
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


def _tell(topic: LockedTopic | None, event: MessageEdited | MessageDeleted) -> int:
    name = conversation_topic(event.conversation_id)
    logged = log.append([(name, event)], locked={name: topic} if topic else None)
    announce(logged)
    return logged[0].seq or 0
