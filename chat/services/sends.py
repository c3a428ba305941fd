"""Sends are stored in batches: one transaction, in which each send has its own outcome.

The topics of the conversations are locked first. What is checked under the lock (membership, duplicates)
therefore still holds at the message's seq.
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
from chat.errors import NotAParticipantError
from chat.events import MessageSent, conversation_topic
from chat.models import Message
from chat.services.unread import conversations_moved
from realtime import (
    LOCK_SECONDS,
    BusyError,
    LockedTopic,
    RealtimeError,
    UnavailableError,
    UncertainError,
    announce,
    announcing,
    events,
    log,
)

RETRY_MS = 1_000


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that a user wants to send."""

    conversation_id: int
    sender: User
    content: str
    client_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """The outcome of a send that was stored; `duplicate` when an earlier send stored it."""

    message_id: int
    seq: int
    created_at: dt.datetime
    client_id: UUID | None
    duplicate: bool = False


Outcome = Sent | RealtimeError


def send_messages(drafts: Sequence[Draft], *, patience: float = LOCK_SECONDS) -> list[Outcome]:
    """Store drafts in their order and announce them; a refused draft does not affect the others.

    With a `patience` in seconds, a conversation that another transaction holds is waited for that long; after
    that all drafts are refused with a BusyError. With 0, only the drafts to held conversations are refused.
    """
    try:
        return _send_together(drafts, patience)
    except BusyError as busy:
        return [busy] * len(drafts)
    except (IntegrityError, DataError):
        # The database refused one of the drafts: store each alone to find out which.
        if len(drafts) == 1:
            raise
        return _send_each(drafts, patience)


def _send_each(drafts: Sequence[Draft], patience: float) -> list[Outcome]:
    """Store each draft alone; after a BusyError, later drafts to that conversation are refused too."""
    outcomes: list[Outcome] = []
    held: dict[int, Outcome] = {}
    for draft in drafts:
        outcome = held.get(draft.conversation_id) or _send_alone(draft, patience)
        outcomes.append(outcome)
        if isinstance(outcome, BusyError):
            held[draft.conversation_id] = outcome
        elif isinstance(outcome, UnavailableError):  # the database is away: the other drafts would fail too
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
            # The database may have committed before the connection broke.
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
    # Read after the insert: a draft may repeat another one of its batch.
    stored = Message.objects.in_bulk(set(repeats.values()))
    for place, message_id in repeats.items():
        message = stored[message_id]
        outcomes[place] = Sent(message.pk, message.seq, message.created_at, message.client_id, duplicate=True)
    return [outcomes[place] for place in range(len(drafts))]


def _tell_and_keep(
    entries: Sequence[tuple[str, MessageSent]], topics: Mapping[str, LockedTopic], moment: dt.datetime
) -> list[Sent]:
    """Write new messages to the log, which gives them their seqs, and to their table."""
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
