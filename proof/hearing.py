"""Judges receivers' frames: in order (I3), the same for all (I4), once (I5), only readable ones (I7)."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from itertools import chain

from proof.history import REJOINED, REMOVED, Connection, Evidence, Heard, Receiver
from proof.verdict import Violation, frame_of, short, some

#: The event in place of a deleted message and of its edits, for whoever reads them later.
TOMBSTONE = "message_deleted"
EDIT = "message_edited"


def messages(receiver: Receiver) -> Iterator[Heard]:
    return (heard for heard in receiver.frames() if heard.kind == "message")


def in_order(evidence: Evidence) -> Iterator[Violation]:
    for receiver in chain.from_iterable(each.ears() for each in evidence.receivers):
        position: int | None = None
        for connection in receiver.connections:
            if (
                connection.resync
                and receiver.is_honest
                and not _was_taken_back(evidence, receiver, connection)
            ):
                asked = f"asked to go on from {connection.since}, which it had been told"
                yield Violation("I3", f"{receiver} {asked}, and was answered resync {connection.resync}")
            position = _begins_at(receiver, connection, position)
            for heard in connection.frames:
                if heard.at > connection.closed_at:
                    yield Violation("I3", f"{receiver} was told {frame_of(heard)} after the end")
                if position is not None:
                    yield from _step(evidence, receiver, position, heard)
                position = heard.seq if position is None else max(position, heard.seq)
            if position is not None:
                position = yield from _to_the_end(evidence, receiver, position, connection)


def _was_taken_back(evidence: Evidence, receiver: Receiver, connection: Connection) -> bool:
    """Whether it asked to resume from a time before it was removed, which the server must refuse."""
    later = evidence.intervals(receiver.seat)[1:]
    return connection.resync == REJOINED and any((connection.since or 0) < each.after for each in later)


def _begins_at(receiver: Receiver, connection: Connection, position: int | None) -> int | None:
    """The seq after which this connection must go on; None where anything may come first."""
    if connection.resync:
        return connection.subscribed_seq
    if position is not None and receiver.is_honest:
        return position
    if connection.since is not None:
        return connection.since
    if connection.frames and connection.frames[0].at < connection.subscribed_at:
        return connection.frames[0].seq - 1  # sent while the socket was let in; `subscribed` came after it
    return connection.subscribed_seq


def _to_the_end(
    evidence: Evidence, receiver: Receiver, position: int, connection: Connection
) -> Generator[Violation, None, int]:
    """The server's `subscribed` must be right, and a removed member gets all events up to the removal."""
    told = connection.subscribed_seq
    if told is not None and connection.since is not None:
        if lost := _readable_between(evidence, receiver, position, told):
            yield Violation("I3", f"{receiver} was told it is at seq {told}, without {some(lost)}")
        position = max(position, told)
    if told is not None and connection.close_code == REMOVED:
        for interval in evidence.intervals(receiver.seat):
            if interval.after <= position < interval.up_to < math.inf:
                lost = list(range(position + 1, int(interval.up_to) + 1))
                yield Violation("I3", f"{receiver} was sent away without {some(lost)}")
    return position


def _step(evidence: Evidence, receiver: Receiver, position: int, heard: Heard) -> Iterator[Violation]:
    if heard.seq <= position:
        yield Violation("I3", f"{receiver} was told {frame_of(heard)} after seq {position}")
    elif lost := _readable_between(evidence, receiver, position, heard.seq - 1):
        yield Violation("I3", f"{receiver} was told {frame_of(heard)} without {some(lost)} before it")


def _readable_between(evidence: Evidence, receiver: Receiver, after: int, up_to: int) -> list[int]:
    """The missing seqs that the receiver may read; after a return, reading begins at the return."""
    last = [each for each in evidence.intervals(receiver.seat) if each.after < up_to + 1 <= each.up_to]
    start = max([after, *(interval.after for interval in last)])
    return [seq for seq in range(start + 1, up_to + 1) if evidence.owes(receiver, seq)]


def agreed(evidence: Evidence) -> Iterator[Violation]:
    known: dict[tuple[int, int], tuple[int, str | None, str]] = {
        (row.conversation, row.seq): (row.message_id, None if row.is_changed else row.content, "the table")
        for row in evidence.rows
    }
    for receiver in evidence.receivers:
        for heard in receiver.frames():
            if heard.kind == TOMBSTONE or is_withheld(heard):
                continue  # a tombstone stands at several seqs of one message; a withheld edit has no text
            place = receiver.conversation, heard.seq
            message_id, content, witness = known.setdefault(
                place, (heard.message_id, heard.content, str(receiver))
            )
            agrees = heard.message_id == message_id and (content is None or heard.content == content)
            if not agrees:
                other = f"{message_id} ({short(content or '')})"
                yield Violation("I4", f"{receiver} was told {frame_of(heard)}, {witness} has {other} there")


def never_twice(evidence: Evidence) -> Iterator[Violation]:
    for receiver in evidence.receivers:
        ids: set[int] = set()
        names: set[str] = set()
        for heard in messages(receiver):
            if heard.message_id in ids or (heard.client_id and heard.client_id in names):
                yield Violation("I5", f"{receiver} was told {frame_of(heard)} a second time")
            ids.add(heard.message_id)
            names.add(heard.client_id)


def only_members(evidence: Evidence) -> Iterator[Violation]:
    places = {(row.conversation, row.message_id): row.seq for row in evidence.rows}
    for receiver in evidence.receivers:
        for heard in receiver.frames():
            of = heard.seq
            if heard.kind == EDIT and heard.content:
                of = places.get((receiver.conversation, heard.message_id), heard.seq)
            if not evidence.may_read_edit(receiver.seat, heard.seq, of=of):
                allowed = evidence.readable[receiver.seat]
                what = frame_of(heard) if of == heard.seq else f"{frame_of(heard)}, of a message at seq {of}"
                yield Violation("I7", f"{receiver} was told {what}, and may read {list(allowed)}")


def is_withheld(heard: Heard) -> bool:
    """Whether it is an edit without its text, as sent where some member may not read the message."""
    return heard.kind == EDIT and not heard.content
