"""Judges times (I6): messages reach all members soon, and no member is away for long or without a reason."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from proof.history import FINAL, REJOINED, REMOVED, Connection, Evidence, Receiver, Window
from proof.verdict import Violation


def soon_with_everybody(evidence: Evidence, quiet_seconds: float) -> Iterator[Violation]:
    born: dict[int, dict[int, float]] = defaultdict(dict)
    for (conversation, seq), birth in births(evidence).items():
        born[conversation][seq] = birth
    for receiver in chain.from_iterable(each.ears() for each in evidence.receivers):
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
            if not evidence.owes(receiver, seq):
                continue
            limit = due(birth, blind, quiet_seconds)
            if limit < min(at, evidence.ended_at):
                when = "never" if at == math.inf else f"{at - limit:.1f} s late"
                yield Violation("I6", f"{receiver} heard seq {seq} {when}")


def back_again(evidence: Evidence, quiet_seconds: float) -> Iterator[Violation]:
    """No absence may last, since lateness does not count it: after the faults, everybody is back."""
    healed = max([0.0, *(fault.end for fault in evidence.faults)])
    for receiver in evidence.receivers:
        if not receiver.connections:
            continue
        last = receiver.connections[-1]
        is_kept_waiting = last.closed_at == math.inf and last.subscribed_at == math.inf
        if last.close_code in {None, *FINAL} and not is_kept_waiting:
            continue
        stood = [each.closed_at for each in receiver.connections if each.subscribed_at < math.inf]
        gone_at = max([healed, *stood[-1:]])
        if gone_at + 2 * quiet_seconds <= evidence.ended_at:
            yield Violation(
                "I6", f"{receiver} was cut off and is not back {evidence.ended_at - gone_at:.0f} s later"
            )


def up_to_the_head(evidence: Evidence) -> Iterator[Violation]:
    """A receiver that is live at the end has every event, also one that no other receiver has."""
    for receiver in chain.from_iterable(each.ears() for each in evidence.receivers):
        head = evidence.heads.get(receiver.conversation, 0)
        if not receiver.stands_at(evidence.ended_at) or not evidence.may_read(receiver.seat, head):
            continue
        if _starts_after(receiver) is None:
            continue  # a page of the guide without any message has no position to check
        if receiver.told_only is not None:
            head = max(receiver.told_only, default=0)
        told = [connection.subscribed_seq or 0 for connection in receiver.connections]
        stands = max([*told, *(heard.seq for heard in receiver.frames())])
        if stands < head:
            yield Violation("I6", f"{receiver} stands at seq {stands}, and the conversation at {head}")


def not_sent_away(evidence: Evidence) -> Iterator[Violation]:
    """A final close code is an excuse for being away only where it was expected."""
    for receiver in evidence.receivers:
        for connection in receiver.connections:
            if connection.close_code in FINAL and not _had_to_go(evidence, receiver, connection):
                yield Violation("I6", f"{receiver} was sent away for good with {connection.close_code}")


def _had_to_go(evidence: Evidence, receiver: Receiver, connection: Connection) -> bool:
    if connection.close_code != REMOVED:
        return evidence.sent_away.get(receiver.user) == connection.close_code
    stood = max([connection.subscribed_seq or 0, *(heard.seq for heard in connection.frames)])
    if not stood and not evidence.may_read(receiver.seat, 1):
        return True  # refused at the start: was no member then
    return any(stood <= interval.up_to < math.inf for interval in evidence.intervals(receiver.seat))


def _reads_from(evidence: Evidence, receiver: Receiver, heard: Iterable[int]) -> int:
    """The seq after which the member reads now: after a return, nothing from before must still come."""
    told = [connection.subscribed_seq or 0 for connection in receiver.connections]
    furthest = max([0, *told, *heard])
    begun = [interval.after for interval in evidence.intervals(receiver.seat) if interval.after <= furthest]
    # Or the seq after which they were told to load the rest over REST.
    begun += [each.subscribed_seq or 0 for each in receiver.connections if each.resync == REJOINED]
    return max(begun, default=0)


def births(evidence: Evidence) -> dict[tuple[int, int], float]:
    """When each stored message was first known to exist: acknowledged, or received by anybody."""
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
        # Stored, but neither acknowledged nor received: it existed at the latest when its sender gave up.
        seen.setdefault((row.conversation, row.seq), tried.get(row[0:1] + row[3:5], 0.0))
    return seen


def due(birth: float, windows: Sequence[Window], quiet_seconds: float) -> float:
    """When a message must have arrived: so long after it was sent, or after the last fault or absence."""
    limit = birth + quiet_seconds
    for window in windows:
        if window.start < limit < window.end + quiet_seconds and window.end >= birth:
            limit = window.end + quiet_seconds
    return limit


def _blind(evidence: Evidence, receiver: Receiver) -> list[Window]:
    """The times in which this receiver could get nothing: all faults and its own absences, earliest first."""
    windows = [*evidence.faults, *receiver.asleep]
    gone = -math.inf
    for connection in receiver.connections:
        # A connection that ended before it was live ends no absence, which goes on.
        windows.append(Window(gone, min(connection.subscribed_at, connection.closed_at)))
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
