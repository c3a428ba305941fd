"""The judge: which message broke which promise. Pure: evidence in, violations out.

I1  every acknowledged client id is exactly one row, the one that the acknowledgement names
I2  nothing is delivered that is not a row
I3  each receiver sees strictly increasing, contiguous seqs in a conversation, over all its connections
I4  all receivers, and the table, agree on seq → id → content
I5  no message reaches the same receiver twice
I6  what was said is with every connected member within 5 s, faults and absences not counted
I7  nobody is told an event, by seq, that they may not read
I8  every send that was not acknowledged got an error or a closed socket, and repeating it made one row
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import NamedTuple

from proof.history import Connection, Evidence, Heard, Receiver, Row, Send, Window

INVARIANTS = ("I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8")
#: I6, and how long a send may go unanswered before it counts as never answered.
QUIET_SECONDS = 5.0
#: A deleted message's place, and those of its edits, show its tombstone to whoever comes later.
TOMBSTONE = "message_deleted"
#: Closes the sockets of who was removed.
REMOVED = 4404
#: How the connection of somebody ends who does not come back: by their own will, or sent away for good.
STAYS_AWAY = {None, 1000, 4400, 4401, 4403, REMOVED}


class Violation(NamedTuple):
    """One broken promise, and the message that broke it."""

    invariant: str
    says: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.says}"


def judge(evidence: Evidence, *, quiet_seconds: float = QUIET_SECONDS) -> list[Violation]:
    """Every violation, in the order of the invariants; none is a proof for this history."""
    found = [
        *_acknowledged_once(evidence),
        *_only_rows(evidence),
        *_in_order(evidence),
        *_agreed(evidence),
        *_never_twice(evidence),
        *_soon_with_everybody(evidence, quiet_seconds),
        *_back_again(evidence, quiet_seconds),
        *_only_members(evidence),
        *_answered(evidence),
    ]
    return sorted(found, key=lambda violation: violation.invariant)


def counts(violations: Iterable[Violation]) -> dict[str, int]:
    """How often each invariant was broken; those that held are absent."""
    return dict(sorted(Counter(violation.invariant for violation in violations).items()))


# ── the tables ───────────────────────────────────────────────────────────────────────────────────────────


def _name(send: Send) -> str:
    return (
        f"{send.client_id} ({_short(send.content)}, user {send.sender} in conversation {send.conversation})"
    )


def _rows_of(evidence: Evidence) -> dict[tuple[int, int, str], list[Row]]:
    rows: dict[tuple[int, int, str], list[Row]] = defaultdict(list)
    for row in evidence.rows:
        if row.client_id:
            rows[row.conversation, row.sender, row.client_id].append(row)
    return rows


def _acknowledged_once(evidence: Evidence) -> Iterator[Violation]:
    rows = _rows_of(evidence)
    for send in evidence.sends:
        if not send.acks:
            continue
        stored = rows.get((send.conversation, send.sender, send.client_id), [])
        if len(stored) != 1:
            yield Violation("I1", f"{_name(send)} was acknowledged and is {len(stored)} rows")
            continue
        row = stored[0]
        for ack in send.acks:
            if (ack.message_id, ack.seq) != (row.message_id, row.seq):
                told, true = f"{ack.message_id} at seq {ack.seq}", f"{row.message_id} at seq {row.seq}"
                yield Violation("I1", f"{_name(send)} was acknowledged as message {told}, the row is {true}")
        if not row.is_changed and row.content != send.content:
            yield Violation("I1", f"{_name(send)} was acknowledged, the row says {_short(row.content)}")


def _answered(evidence: Evidence) -> Iterator[Violation]:
    rows = _rows_of(evidence)
    for send in evidence.sends:
        for attempt in send.attempts:
            # An end that came with the end of everything is no answer.
            is_answered = attempt.outcome is not None and attempt.ended_at <= evidence.ended_at
            if not is_answered and attempt.at + QUIET_SECONDS <= evidence.ended_at:
                yield Violation("I8", f"{_name(send)} was never answered, on a socket that stayed open")
        stored = rows.get((send.conversation, send.sender, send.client_id), [])
        if not send.acks and len(stored) > 1:
            yield Violation("I8", f"{_name(send)} was repeated and is {len(stored)} rows")


def _only_rows(evidence: Evidence) -> Iterator[Violation]:
    rows = {(row.conversation, row.seq, row.message_id): row for row in evidence.rows}
    for receiver in evidence.receivers:
        for heard in _messages(receiver):
            row = rows.get((receiver.conversation, heard.seq, heard.message_id))
            if row is None:
                yield Violation("I2", f"{receiver} was told {_told(heard)}, which is no row")
            elif not row.is_changed and row.content != heard.content:
                yield Violation(
                    "I2", f"{receiver} was told {_told(heard)}, the row says {_short(row.content)}"
                )


# ── what receivers heard ─────────────────────────────────────────────────────────────────────────────────


def _messages(receiver: Receiver) -> Iterator[Heard]:
    return (heard for heard in receiver.frames() if heard.kind == "message")


def _told(heard: Heard) -> str:
    return f"{heard.kind} {heard.message_id} at seq {heard.seq} ({_short(heard.content)})"


def _short(content: str) -> str:
    """Enough of a text to know it by."""
    return repr(content if len(content) <= 40 else f"{content[:39]}…")


def _in_order(evidence: Evidence) -> Iterator[Violation]:
    for receiver in evidence.receivers:
        position: int | None = None
        for connection in receiver.connections:
            if connection.resync and receiver.is_honest:
                asked = f"asked to go on from {connection.since}, which it had been told"
                yield Violation("I3", f"{receiver} {asked}, and was answered resync {connection.resync}")
            position = _begins_at(receiver, connection, position)
            for heard in connection.frames:
                if position is not None:
                    yield from _step(evidence, receiver, position, heard)
                position = heard.seq if position is None else max(position, heard.seq)
            if position is not None:
                position = yield from _to_the_end(evidence, receiver, position, connection)


def _begins_at(receiver: Receiver, connection: Connection, position: int | None) -> int | None:
    """After which seq this connection must go on."""
    if connection.resync:
        return connection.subscribed_seq
    if position is not None and receiver.is_honest:
        return position
    if connection.since is not None:
        return connection.since
    if connection.frames and connection.frames[0].at < connection.subscribed_at:
        return connection.frames[0].seq - 1  # told while it was let in; where it stands was said after that
    return connection.subscribed_seq


def _to_the_end(
    evidence: Evidence, receiver: Receiver, position: int, connection: Connection
) -> Generator[Violation, None, int]:
    """What the server said of where it stands must be so, and who is sent away is told of it first."""
    told = connection.subscribed_seq
    if told is not None and connection.since is not None:
        if lost := _readable_between(evidence, receiver, position, told):
            yield Violation("I3", f"{receiver} was told it is at seq {told}, without {_some(lost)}")
        position = max(position, told)
    if told is not None and connection.close_code == REMOVED:
        for interval in evidence.intervals(receiver.seat):
            if interval.after <= position < interval.up_to < math.inf:
                lost = list(range(position + 1, int(interval.up_to) + 1))
                yield Violation("I3", f"{receiver} was sent away without {_some(lost)}")
    return position


def _step(evidence: Evidence, receiver: Receiver, position: int, heard: Heard) -> Iterator[Violation]:
    if heard.seq <= position:
        yield Violation("I3", f"{receiver} was told {_told(heard)} after seq {position}")
    elif lost := _readable_between(evidence, receiver, position, heard.seq - 1):
        yield Violation("I3", f"{receiver} was told {_told(heard)} without {_some(lost)} before it")


def _readable_between(evidence: Evidence, receiver: Receiver, after: int, up_to: int) -> list[int]:
    """What should have come between; who was taken back reads on from their second coming."""
    last = [each for each in evidence.intervals(receiver.seat) if each.after < up_to + 1 <= each.up_to]
    start = max([after, *(interval.after for interval in last)])
    return [seq for seq in range(start + 1, up_to + 1) if evidence.may_read(receiver.seat, seq)]


def _some(seqs: Sequence[int]) -> str:
    shown = ", ".join(map(str, seqs[:5]))
    return f"seq {shown}" if len(seqs) <= 5 else f"{len(seqs)} seqs ({shown}, …)"


def _agreed(evidence: Evidence) -> Iterator[Violation]:
    known: dict[tuple[int, int], tuple[int, str | None, str]] = {
        (row.conversation, row.seq): (row.message_id, None if row.is_changed else row.content, "the table")
        for row in evidence.rows
    }
    for receiver in evidence.receivers:
        for heard in receiver.frames():
            if heard.kind == TOMBSTONE:
                continue  # stands at several places, all of the message it buries
            place = receiver.conversation, heard.seq
            message_id, content, witness = known.setdefault(
                place, (heard.message_id, heard.content, str(receiver))
            )
            agrees = heard.message_id == message_id and (content is None or heard.content == content)
            if not agrees:
                other = f"{message_id} ({_short(content or '')})"
                yield Violation("I4", f"{receiver} was told {_told(heard)}, {witness} has {other} there")


def _never_twice(evidence: Evidence) -> Iterator[Violation]:
    for receiver in evidence.receivers:
        ids: set[int] = set()
        names: set[str] = set()
        for heard in _messages(receiver):
            if heard.message_id in ids or (heard.client_id and heard.client_id in names):
                yield Violation("I5", f"{receiver} was told {_told(heard)} a second time")
            ids.add(heard.message_id)
            names.add(heard.client_id)


def _only_members(evidence: Evidence) -> Iterator[Violation]:
    for receiver in evidence.receivers:
        for heard in receiver.frames():
            if not evidence.may_read(receiver.seat, heard.seq):
                allowed = evidence.readable[receiver.seat]
                yield Violation("I7", f"{receiver} was told {_told(heard)}, and may read {list(allowed)}")


# ── time ─────────────────────────────────────────────────────────────────────────────────────────────────


def _soon_with_everybody(evidence: Evidence, quiet_seconds: float) -> Iterator[Violation]:
    born: dict[int, dict[int, float]] = defaultdict(dict)
    for (conversation, seq), birth in births(evidence).items():
        born[conversation][seq] = birth
    for receiver in evidence.receivers:
        started_at = _starts_after(receiver)
        if started_at is None:
            continue
        heard = {frame.seq: frame.at for frame in receiver.frames()}
        began_at = _reads_from(evidence, receiver, heard)
        blind = _blind(evidence, receiver)
        for seq, birth in born[receiver.conversation].items():
            at = heard.get(seq, math.inf)
            if at <= birth + quiet_seconds or seq <= max(started_at, began_at if at == math.inf else 0):
                continue
            if not evidence.may_read(receiver.seat, seq):
                continue
            limit = due(birth, blind, quiet_seconds)
            if limit < min(at, evidence.ended_at):
                when = "never" if at == math.inf else f"{at - limit:.1f} s late"
                yield Violation("I6", f"{receiver} heard seq {seq} {when}")


def _back_again(evidence: Evidence, quiet_seconds: float) -> Iterator[Violation]:
    """Absences are not counted, so none may last: who was cut off stands again when everything is well."""
    healed = max([0.0, *(fault.end for fault in evidence.faults)])
    for receiver in evidence.receivers:
        if not receiver.connections:
            continue
        last = receiver.connections[-1]
        is_kept_waiting = last.close_code is None and last.subscribed_at == math.inf
        if last.close_code in STAYS_AWAY and not is_kept_waiting:
            continue
        stood = [each.closed_at for each in receiver.connections if each.subscribed_at < math.inf]
        gone_at = max([healed, *stood[-1:]])
        if gone_at + 2 * quiet_seconds <= evidence.ended_at:
            yield Violation(
                "I6", f"{receiver} was cut off and is not back {evidence.ended_at - gone_at:.0f} s later"
            )


def _reads_from(evidence: Evidence, receiver: Receiver, heard: Iterable[int]) -> int:
    """Where what they read now begins: after they were taken back, nothing from before is owed to them."""
    told = [connection.subscribed_seq or 0 for connection in receiver.connections]
    furthest = max([0, *told, *heard])
    begun = [interval.after for interval in evidence.intervals(receiver.seat) if interval.after <= furthest]
    return max(begun, default=0)


def births(evidence: Evidence) -> dict[tuple[int, int], float]:
    """When each stored message was first known to exist: acknowledged, or heard by anybody."""
    seen: dict[tuple[int, int], float] = {}
    tried: dict[tuple[int, int, str], float] = {}
    for send in evidence.sends:
        for ack in send.acks:
            place = send.conversation, ack.seq
            seen[place] = min(ack.at, seen.get(place, math.inf))
        ends = [min(attempt.ended_at, evidence.ended_at) for attempt in send.attempts]
        tried[send.conversation, send.sender, send.client_id] = max(ends, default=send.meant_at)
    for receiver in evidence.receivers:
        for heard in receiver.frames():
            place = receiver.conversation, heard.seq
            seen[place] = min(heard.at, seen.get(place, math.inf))
    for row in evidence.rows:
        # Stored, and nobody was ever told: it existed at the latest when its sender gave up.
        seen.setdefault((row.conversation, row.seq), tried.get(row[0:1] + row[3:5], 0.0))
    return seen


def due(birth: float, windows: Sequence[Window], quiet_seconds: float) -> float:
    """When it must have arrived: so long after it was said, or after the last thing in its way had passed."""
    limit = birth + quiet_seconds
    for window in windows:
        if window.start < limit < window.end + quiet_seconds and window.end >= birth:
            limit = window.end + quiet_seconds
    return limit


def _blind(evidence: Evidence, receiver: Receiver) -> list[Window]:
    """When this receiver could not be told: everybody's faults and its own absences, earliest first."""
    windows = [*evidence.faults, *receiver.asleep]
    gone = -math.inf
    for connection in receiver.connections:
        windows.append(Window(gone, connection.subscribed_at))
        gone = connection.closed_at
    if gone < math.inf:
        windows.append(Window(gone, math.inf))
    return sorted(windows)


def _starts_after(receiver: Receiver) -> int | None:
    for connection in receiver.connections:
        if connection.since is not None and not connection.resync:
            return connection.since
        if connection.subscribed_seq is not None:
            return connection.subscribed_seq
        if connection.frames:
            return connection.frames[0].seq - 1
    return None
