"""Examines histories: the log of a conversation and its messages agree."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from functools import reduce
from typing import Any, NamedTuple

import msgspec
from django.db.models import Q, QuerySet

from accounts.models import FORGOTTEN, User, forgotten_name
from chat import events
from chat.doctor.logs import ConversationLog, conversation_logs, end_of, topics_of
from chat.events import MessageDeleted, MessageEdited, MessageSent
from chat.models import Conversation, Message
from doctor import examinations
from doctor.core import is_readable
from doctor.examinations import Finding, examination, snapshot
from notifications import kinds
from realtime import Delivery, Event, LoggedEvent

#: Rows shown of one fault; there may be millions.
SHOWN = 100


#: All logged event types of the chat, found in the module so that a new one is included.
_EVENTS: list[Any] = [
    each
    for each in vars(events).values()
    if isinstance(each, type) and issubclass(each, Event) and "seq" in each.__struct_fields__
]
_TYPES = {each.__struct_config__.tag for each in _EVENTS}
_decode = msgspec.json.Decoder(reduce(operator.or_, _EVENTS)).decode


class _Row(NamedTuple):
    """A message as it is stored."""

    pk: int
    conversation_id: int
    seq: int
    sender_id: int
    client_id: Any
    content: str
    created_at: Any
    deleted_at: Any
    edit_seqs: list[int]


@examination(
    remedy="Believe the log for what was said, and the rows for what was deleted, and make the other one "
    "alike; `realtime.log.bury` takes the text of a deleted message out of the log."
)
def history() -> Iterator[Finding]:
    """The log has each message with its edits, no text of a deleted one and no name of a forgotten user."""
    yield from _rows_wrong_by_themselves()
    for together in conversation_logs():
        for after, up_to in _stretches(together):
            with snapshot():
                found = list(_Stretch(together, after, up_to).compare())
            yield from found


def _rows_wrong_by_themselves() -> Iterator[Finding]:
    kept = Message.objects.filter(deleted_at__isnull=False).exclude(content="").order_by()
    for pk, conversation_id in kept.values_list("pk", "conversation_id")[:SHOWN]:
        where = {"conversation": conversation_id, "message": pk}
        yield Finding("a deleted message has kept its text", where, "no text in its row", "a text")
    unnumbered = Message.objects.filter(seq__lt=1).order_by()
    for pk, conversation_id, seq in unnumbered.values_list("pk", "conversation_id", "seq")[:SHOWN]:
        where = {"conversation": conversation_id, "message": pk}
        yield Finding("a message has no place", where, "a seq from 1 on", f"seq {seq}")


def _stretches(together: list[ConversationLog]) -> Iterator[tuple[int, int | None]]:
    """The seq ranges to compare: everything of several conversations, or a single long log in parts."""
    first, last = (together[0].floor, together[0].last) if len(together) == 1 else (0, 0)
    while last - first > examinations.BATCH:
        yield first, first + examinations.BATCH
        first += examinations.BATCH
    yield first, None


class _Stretch:
    """A seq range of some conversations, read in one snapshot: at most one event and one message per seq."""

    def __init__(self, together: list[ConversationLog], after: int, up_to: int | None) -> None:
        # Read again in this snapshot: the logs may have been pruned since the stretches were laid out.
        ids = [each.conversation_id for each in together]
        self.topics = topics_of(Conversation.objects.filter(pk__in=ids).values_list("pk", flat=True))
        conversations = {topic.pk: pk for pk, topic in self.topics.items()}
        inside = Q(seq__gt=after) if up_to is None else Q(seq__gt=after, seq__lte=up_to)
        logged = LoggedEvent.objects.filter(inside, topic_id__in=conversations).order_by("topic_id", "seq")
        self.bodies = {
            (conversations[topic_id], seq): body
            for topic_id, seq, body in logged.values_list("topic_id", "seq", "body")
        }
        said = Message.objects.filter(inside, conversation_id__in=self.topics)
        self.rows = {(row.conversation_id, row.seq): row for row in _rows(said.order_by("pk"))}

    def compare(self) -> Iterator[Finding]:
        """Compare; `log_numbers` reports gaps in the numbers, and `log_bodies` unreadable events."""
        changes: list[tuple[int, MessageEdited | MessageDeleted]] = []
        for (conversation_id, seq), body in self.bodies.items():
            where = {"conversation": conversation_id, "seq": seq}
            event = _read(body)
            if event is None:
                # An app may publish event types of its own to a conversation.
                if is_readable(body) and Delivery("", None, body).type not in kinds.event_types() - _TYPES:
                    yield Finding(
                        "an event is none of a conversation", where, "a known type, complete", "another"
                    )
            elif event.conversation_id != conversation_id:
                expected = f"conversation_id {conversation_id}"
                found = f"conversation_id {event.conversation_id}"
                yield Finding("an event names another conversation", where, expected, found)
            elif row := self.rows.get((conversation_id, seq)):
                yield from _compare_place(row, event)
            elif isinstance(event, MessageSent):
                yield _without_message(where, event.message_id)
            elif isinstance(event, MessageEdited | MessageDeleted):
                changes.append((seq, event))
        yield from self._compare_changes(changes)
        yield from self._names_of_the_forgotten()
        for (conversation_id, seq), row in self.rows.items():
            end = end_of(self.topics[conversation_id])
            if seq > end:
                where = {"conversation": conversation_id, "message": row.pk}
                yield Finding(
                    "a message is not in the log", where, f"its event at seq {seq}", f"a log up to {end}"
                )
        yield from self._compare_edits([row for row in self.rows.values() if row.edit_seqs])

    def _names_of_the_forgotten(self) -> Iterator[Finding]:
        """Find events that name a forgotten user otherwise than by the number."""
        named = {place: who for place, body in self.bodies.items() if (who := _who_is_named(_read(body)))}
        ids = {user_id for user_id, _ in named.values()}
        forgotten = User.objects.filter(pk__in=ids, username__startswith=FORGOTTEN).in_bulk()
        for (conversation_id, seq), (user_id, name) in named.items():
            if user_id in forgotten and name != forgotten_name(user_id):
                where = {"conversation": conversation_id, "seq": seq, "user": user_id}
                yield Finding("the log names somebody who was forgotten", where, "only a number", "a name")

    def _compare_changes(
        self, changes: list[tuple[int, MessageEdited | MessageDeleted]]
    ) -> Iterator[Finding]:
        """Compare edits and deletions in the log with the messages that they change."""
        known = {row.pk: row for row in self.rows.values()}
        absent = sorted({event.message_id for _, event in changes} - known.keys())
        for start in range(0, len(absent), examinations.BATCH):
            some = Message.objects.filter(pk__in=absent[start : start + examinations.BATCH])
            known |= {row.pk: row for row in _rows(some)}
        for seq, event in changes:
            row = known.get(event.message_id)
            where = {"conversation": event.conversation_id, "seq": seq}
            if row is None or row.conversation_id != event.conversation_id:
                yield _without_message(where, event.message_id)
            elif isinstance(event, MessageDeleted):
                if row.deleted_at is None:
                    yield _not_deleted(where, row)
            elif row.deleted_at is not None:
                yield _text_left(where, row)
            elif seq not in row.edit_seqs:
                expected = f"seq {seq} in edit_seqs of message {row.pk}"
                yield Finding("an edit is unknown to its message", where, expected, "not there")

    def _compare_edits(self, edited: Iterable[_Row]) -> Iterator[Finding]:
        """Compare messages with the edits that they list."""
        for row in edited:
            topic = self.topics[row.conversation_id]
            where = {"conversation": row.conversation_id, "message": row.pk}
            for seq, body in self._bodies_at(row):
                event = _read(body)
                if event is None:
                    continue  # reported above, or by `log_bodies`
                if not isinstance(event, MessageEdited | MessageDeleted) or event.message_id != row.pk:
                    yield Finding(
                        "a message names an edit that is none", where, f"its edit at seq {seq}", "another"
                    )
                elif isinstance(event, MessageEdited) and _is_outdated(row, seq, event):
                    expected = f"the text of seq {seq}"
                    yield Finding("a message and its last edit differ", where, expected, "another")
            for seq in row.edit_seqs:
                if not 0 < seq <= end_of(topic):
                    yield Finding(
                        "a message names an edit that is none", where, f"its edit at seq {seq}", "none"
                    )

    def _bodies_at(self, row: _Row) -> Iterator[tuple[int, str]]:
        """The events at the seqs of a message's edits, which may lie beyond this stretch."""
        far = []
        for seq in row.edit_seqs:
            if body := self.bodies.get((row.conversation_id, seq)):
                yield seq, body
            else:
                far.append(seq)
        for start in range(0, len(far), examinations.BATCH):
            topic_id = self.topics[row.conversation_id].pk
            events_there = LoggedEvent.objects.filter(
                topic_id=topic_id, seq__in=far[start : start + examinations.BATCH]
            )
            yield from events_there.values_list("seq", "body")


def _rows(messages: QuerySet[Message]) -> Iterator[_Row]:
    return map(_Row._make, messages.values_list(*_Row._fields))


def _read(body: str) -> Any:
    """Decode an event of the log; None if it is none of the chat's."""
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeError):
        return None


def _who_is_named(event: Any) -> tuple[int, str] | None:
    """The user whom an event names, by id and name."""
    if isinstance(event, MessageSent):
        return event.sender_id, event.sender_username
    name = getattr(event, "username", None)
    return None if name is None else (event.user_id, name)


def _compare_place(row: _Row, event: Event) -> Iterator[Finding]:
    """Compare a message with the event at its seq."""
    where = {"conversation": row.conversation_id, "message": row.pk, "seq": row.seq}
    if not isinstance(event, MessageSent | MessageDeleted) or event.message_id != row.pk:
        yield Finding("another event stands at a message's seq", where, f"message {row.pk}", "another")
    elif isinstance(event, MessageDeleted):
        if row.deleted_at is None:
            yield _not_deleted(where, row)
    elif row.deleted_at is not None:
        yield _text_left(where, row)
    else:
        alike = ["sender_id", "client_id", "created_at", *([] if row.edit_seqs else ["content"])]
        different = [name for name in alike if getattr(event, name) != getattr(row, name)]
        if different:
            yield Finding(
                "a message and its event differ", where, "the same in both", f"another {', '.join(different)}"
            )


def _is_outdated(row: _Row, seq: int, edit: MessageEdited) -> bool:
    is_last = seq == max(row.edit_seqs) and row.deleted_at is None
    return is_last and edit.content is not None and edit.content != row.content


def _without_message(where: dict[str, int], message_id: int) -> Finding:
    return Finding("an event has no message", where, f"message {message_id} in its place", "none")


def _not_deleted(where: dict[str, int], row: _Row) -> Finding:
    return Finding("a message was deleted and is there", where, f"message {row.pk} deleted", "not deleted")


def _text_left(where: dict[str, int], row: _Row) -> Finding:
    return Finding(
        "the log has kept the text of a deleted message", where, f"a tombstone of message {row.pk}", "a text"
    )
