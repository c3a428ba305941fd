"""The oracle judges a history: which message broke which promise. Pure: evidence in, violations out.

I1  every acknowledged client id is exactly one row, the one that the acknowledgement names; no other row
I2  nothing is delivered that is not a row, or an edit that a member made of one
I3  each receiver sees strictly increasing, contiguous seqs in a conversation, over all its connections
I4  all receivers, and the table, agree on seq → id → content
I5  no message reaches the same receiver twice
I6  every member has each message within 5 s, not counting faults and unavoidable absences
I7  no member receives an event, by seq, that they may not read
I8  every send that was not acknowledged got an error or a closed socket, and repeating it made one row,
    acknowledged at the latest after the faults
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from proof.hearing import EDIT, agreed, in_order, is_withheld, messages, never_twice, only_members
from proof.history import Evidence, Row
from proof.lateness import back_again, not_sent_away, soon_with_everybody, up_to_the_head
from proof.verdict import Violation, frame_of, name_of, short

INVARIANTS = ("I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8")
#: The limit of I6; a send without an answer for longer counts as never answered.
QUIET_SECONDS = 5.0


def judge(evidence: Evidence, *, quiet_seconds: float = QUIET_SECONDS) -> list[Violation]:
    """All violations, in the order of the invariants; none means that this history proves them."""
    found = [
        *_acknowledged_once(evidence),
        *_said_by_somebody(evidence),
        *_only_rows(evidence),
        *_only_edits(evidence),
        *in_order(evidence),
        *agreed(evidence),
        *never_twice(evidence),
        *soon_with_everybody(evidence, quiet_seconds),
        *back_again(evidence, quiet_seconds),
        *not_sent_away(evidence),
        *up_to_the_head(evidence),
        *only_members(evidence),
        *_answered(evidence),
        *_taken_in_the_end(evidence, quiet_seconds),
    ]
    return sorted(found, key=lambda violation: violation.invariant)


def counts(violations: Iterable[Violation]) -> dict[str, int]:
    """The number of violations per invariant; those that held are absent."""
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


def _said(evidence: Evidence) -> dict[tuple[int, int, str], str]:
    return {(send.conversation, send.sender, send.client_id): send.content for send in evidence.sends}


def _said_by_somebody(evidence: Evidence) -> Iterator[Violation]:
    said = _said(evidence)
    for row in evidence.rows:
        text = said.get((row.conversation, row.sender, row.client_id))
        name = f"message {row.message_id} at seq {row.seq} in conversation {row.conversation}"
        is_buried = row.is_changed and not row.content
        if text is None:
            yield Violation("I1", f"{name} ({short(row.content)}) is a row that no send explains")
        elif row.content not in {text, *evidence.edits.get(row.message_id, ())} and not is_buried:
            yield Violation("I1", f"{name} is {short(row.content)}, and what was said is {short(text)}")


def _answered(evidence: Evidence) -> Iterator[Violation]:
    rows = _rows_of(evidence)
    for send in evidence.sends:
        for attempt in send.attempts:
            # An attempt that ended with the run is no answer.
            is_answered = attempt.outcome is not None and attempt.ended_at <= evidence.ended_at
            if not is_answered and attempt.at + QUIET_SECONDS <= evidence.ended_at:
                yield Violation("I8", f"{name_of(send)} was never answered, on a socket that stayed open")
        stored = rows.get((send.conversation, send.sender, send.client_id), [])
        if not send.acks and len(stored) > 1:
            yield Violation("I8", f"{name_of(send)} was repeated and is {len(stored)} rows")


def _taken_in_the_end(evidence: Evidence, quiet_seconds: float) -> Iterator[Violation]:
    """An error that says "later" must come true: who is live and repeats is acknowledged after faults."""
    healed = max([0.0, *(fault.end for fault in evidence.faults)])
    away = {each.seat for each in evidence.receivers if not each.stands_at(evidence.ended_at)}
    for send in evidence.sends:
        is_open = send.attempts and send.attempts[-1].outcome == "error" and not send.is_refused
        if send.acks or not is_open or (send.conversation, send.sender) in away:
            continue
        if max(healed, send.meant_at) + 2 * quiet_seconds <= evidence.ended_at:
            answers = f"{len(send.attempts)} attempts, the last of them answered {send.attempts[-1].detail}"
            yield Violation("I8", f"{name_of(send)} was never acknowledged: {answers}")


def _only_rows(evidence: Evidence) -> Iterator[Violation]:
    said = _said(evidence)
    rows = {(row.conversation, row.seq, row.message_id): row for row in evidence.rows}
    for receiver in evidence.receivers:
        for heard in messages(receiver):
            row = rows.get((receiver.conversation, heard.seq, heard.message_id))
            if row is None:
                yield Violation("I2", f"{receiver} was told {frame_of(heard)}, which is no row")
                continue
            # A changed row no longer has the text that was sent at first.
            text = said.get((row.conversation, row.sender, row.client_id)) if row.is_changed else row.content
            if heard.content != text:
                yield Violation(
                    "I2", f"{receiver} was told {frame_of(heard)}, and it was {short(text or '')}"
                )


def _only_edits(evidence: Evidence) -> Iterator[Violation]:
    places = {(row.conversation, row.message_id): row.seq for row in evidence.rows}
    for receiver in evidence.receivers:
        for heard in receiver.frames():
            if heard.kind != EDIT:
                continue
            of = places.get((receiver.conversation, heard.message_id))
            if of is None:
                yield Violation("I2", f"{receiver} was told {frame_of(heard)}, which is no row")
            elif is_withheld(heard):
                if not evidence.may_be_withheld(receiver.conversation, heard.seq, of=of):
                    yield Violation("I2", f"{receiver} was told {frame_of(heard)}, without its text")
            elif heard.content not in evidence.edits.get(heard.message_id, ()):
                yield Violation("I2", f"{receiver} was told {frame_of(heard)}, which nobody made of it")
