"""Figures of the evidence: durations, and how often something happened."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from proof.history import Evidence, Send, Window


def percentile(values: Iterable[float], share: float) -> float:
    """The value that this share of the values does not exceed; nan without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else math.nan


def milliseconds(seconds: Iterable[float], share: float) -> str:
    """A percentile in milliseconds, as text."""
    return f"{percentile(seconds, share) * 1000:.0f}"


def within(windows: Sequence[Window], at: float) -> bool:
    return any(window.start <= at <= window.end for window in windows)


def ack_seconds(sends: Iterable[Send], windows: Sequence[Window] | None = None) -> list[float]:
    """Seconds from a send's `meant_at` to its ack, for sends in these windows; inf without an ack."""
    return [
        send.acks[0].at - send.meant_at if send.acks else math.inf
        for send in sends
        if windows is None or within(windows, send.meant_at)
    ]


def delivery_seconds(evidence: Evidence, windows: Sequence[Window] | None = None) -> Iterator[float]:
    """Seconds from a send's `meant_at` until each receiver had the message."""
    said = {
        (send.conversation, send.client_id): send.meant_at
        for send in evidence.sends
        if windows is None or within(windows, send.meant_at)
    }
    for receiver in evidence.receivers:
        for heard in receiver.frames():
            at = said.get((receiver.conversation, heard.client_id))
            if at is not None:
                yield heard.at - at


def gaps(evidence: Evidence) -> list[Window]:
    """For each connection that ended by itself: the time until its receiver was live again; inf for never."""
    found = []
    for receiver in evidence.receivers:
        for index, connection in enumerate(receiver.connections):
            if connection.closed_at > evidence.ended_at:
                continue
            later = [after.subscribed_at for after in receiver.connections[index + 1 :]]
            found.append(Window(connection.closed_at, min(later, default=math.inf)))
    return found


def resume_seconds(evidence: Evidence) -> list[float]:
    """The length of each gap, counted from the end of the fault in which it began."""
    return [
        max(0.0, gap.end - max([gap.start, *(f.end for f in evidence.faults if within([f], gap.start))]))
        for gap in gaps(evidence)
    ]


def closed(evidence: Evidence) -> int:
    """The number of connections that ended before the run did."""
    return sum(
        connection.closed_at <= evidence.ended_at
        for receiver in evidence.receivers
        for connection in receiver.connections
    )
