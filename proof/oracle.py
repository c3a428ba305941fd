"""The judge: which message broke which promise. Pure: evidence in, violations out.

I1  every acknowledged client id is exactly one row, the one that the acknowledgement names
I2  nothing is delivered that is not a row
I3  each receiver sees strictly increasing, contiguous seqs in a conversation, over all its connections
I4  all receivers, and the table, agree on seq → id → content
I5  no message reaches the same receiver twice
I6  what was said is with every member within 5 s, faults and absences that had to be not counted
I7  nobody is told an event, by seq, that they may not read
I8  every send that was not acknowledged got an error or a closed socket, and repeating it made one row
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from proof.hearing import agreed, in_order, messages, never_twice, only_members
from proof.history import Evidence, Row
from proof.lateness import back_again, not_sent_away, soon_with_everybody
from proof.verdict import Violation, frame_of, name_of, short

INVARIANTS = ("I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8")
#: I6, and how long a send may go unanswered before it counts as never answered.
QUIET_SECONDS = 5.0


def judge(evidence: Evidence, *, quiet_seconds: float = QUIET_SECONDS) -> list[Violation]:
    """Every violation, in the order of the invariants; none is a proof for this history."""
    found = [
        *_acknowledged_once(evidence),
        *_only_rows(evidence),
        *in_order(evidence),
        *agreed(evidence),
        *never_twice(evidence),
        *soon_with_everybody(evidence, quiet_seconds),
        *back_again(evidence, quiet_seconds),
        *not_sent_away(evidence),
        *only_members(evidence),
        *_answered(evidence),
    ]
    return sorted(found, key=lambda violation: violation.invariant)


def counts(violations: Iterable[Violation]) -> dict[str, int]:
    """How often each invariant was broken; those that held are absent."""
    return dict(sorted(Counter(violation.invariant for violation in violations).items()))


# ── the tables ───────────────────────────────────────────────────────────────────────────────────────────


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
            yield Violation("I1", f"{name_of(send)} was acknowledged and is {len(stored)} rows")
            continue
        row = stored[0]
        for ack in send.acks:
            if (ack.message_id, ack.seq) != (row.message_id, row.seq):
                told, true = f"{ack.message_id} at seq {ack.seq}", f"{row.message_id} at seq {row.seq}"
                yield Violation(
                    "I1", f"{name_of(send)} was acknowledged as message {told}, the row is {true}"
                )
        if not row.is_changed and row.content != send.content:
            yield Violation("I1", f"{name_of(send)} was acknowledged, the row says {short(row.content)}")


def _answered(evidence: Evidence) -> Iterator[Violation]:
    rows = _rows_of(evidence)
    for send in evidence.sends:
        for attempt in send.attempts:
            # An end that came with the end of everything is no answer.
            is_answered = attempt.outcome is not None and attempt.ended_at <= evidence.ended_at
            if not is_answered and attempt.at + QUIET_SECONDS <= evidence.ended_at:
                yield Violation("I8", f"{name_of(send)} was never answered, on a socket that stayed open")
        stored = rows.get((send.conversation, send.sender, send.client_id), [])
        if not send.acks and len(stored) > 1:
            yield Violation("I8", f"{name_of(send)} was repeated and is {len(stored)} rows")


def _only_rows(evidence: Evidence) -> Iterator[Violation]:
    rows = {(row.conversation, row.seq, row.message_id): row for row in evidence.rows}
    for receiver in evidence.receivers:
        for heard in messages(receiver):
            row = rows.get((receiver.conversation, heard.seq, heard.message_id))
            if row is None:
                yield Violation("I2", f"{receiver} was told {frame_of(heard)}, which is no row")
            elif not row.is_changed and row.content != heard.content:
                yield Violation(
                    "I2", f"{receiver} was told {frame_of(heard)}, the row says {short(row.content)}"
                )
