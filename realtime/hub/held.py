"""Held events came before one that is missing, which is being read from the log.

A held event need not be read again. One that does not fit is read, so the bounds cost nothing but time. They
are in number and bytes per topic, and in bytes for the process, which may have ten thousand topics.
"""

from __future__ import annotations

import sys

from realtime.events import Delivery

#: Events of one topic: two pages of the log.
MAX_HELD = 1_000
#: Bytes of one topic: eight of the largest messages, or a few thousand usual ones.
MAX_HELD_BYTES = 1024 * 1024
#: Bytes of a process: a gap in every topic at once (Redis was away) must not be felt in its memory.
MAX_HELD_BYTES_IN_ALL = 16 * 1024 * 1024


class Budget:
    """Bytes that several users share."""

    __slots__ = ("left",)

    def __init__(self, size: int) -> None:
        self.left = size


class Held:
    """The events of one topic that wait for one before them."""

    __slots__ = ("_budget", "_bytes", "_events")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._bytes = 0
        self._events: dict[int, Delivery] = {}

    def __len__(self) -> int:
        return len(self._events)

    def keep(self, seq: int, delivery: Delivery) -> None:
        """Hold an event, if there is room; of two events at one seq, the log knows which is true."""
        if (known := self._events.get(seq)) is not None:
            if known.body != delivery.body:
                self.forget()  # a database took over, and it is unknown how many of these were lost
            return
        size = sys.getsizeof(delivery.body)
        fits = len(self._events) < MAX_HELD and self._bytes + size <= MAX_HELD_BYTES
        if fits and size <= self._budget.left:
            self._events[seq] = delivery
            self._count(size)

    def pop(self, seq: int) -> Delivery | None:
        """Take out the event at a seq, if it is held."""
        delivery = self._events.pop(seq, None)
        if delivery is not None:
            self._count(-sys.getsizeof(delivery.body))
        return delivery

    def forget(self, *, up_to: int | None = None) -> None:
        """Forget events that were read instead: all, or those up to a seq."""
        for seq in [seq for seq in self._events if up_to is None or seq <= up_to]:
            self.pop(seq)

    def _count(self, size: int) -> None:
        self._bytes += size
        self._budget.left -= size
