"""The window of a topic: how long its events wait to be written together."""

from __future__ import annotations

#: The bounds of a window in seconds; between them it is as long as writing took.
MIN_SECONDS, MAX_SECONDS = 0.003, 0.05
#: Seconds by which a write is late in a process that has more to do than time.
LATE_SECONDS = 0.0005
#: Waits in a row that joined nothing, after which events are written at once...
LONELY_WAITS = 3
#: ...and events written at once before another wait is tried: one of 32 then waits 3 ms in vain.
EVENTS_UNTIL_NEXT_TRY = 32


class Window:
    """The window of one topic, which opens after each write.

    A wait is worth it only if it joins events. A lone speaker, who waits for the echo before speaking again,
    would wait in vain: after some vain waits the topic's events are written at once, until several arrive
    together.
    """

    __slots__ = ("_ends_at", "_in_vain", "_is_open", "_seconds")

    def __init__(self) -> None:
        self._ends_at = 0.0
        self._seconds = MIN_SECONDS
        self._in_vain = 0
        #: Whether the pending events arrived while the window was open.
        self._is_open = False

    def wait(self, now: float) -> float:
        """The seconds for which an event that arrives now waits for others; 0 or less for none."""
        left = self._ends_at - now
        self._is_open = left > 0
        return 0.0 if self._in_vain >= LONELY_WAITS else left

    def wrote(self, began: float, ended: float, *, events: int) -> None:
        """Note that so many events were written between these moments."""
        if events > 1:
            self._in_vain = 0
        elif self._is_open:  # the wait was in vain, or would have been
            self._in_vain += 1
            if self._in_vain >= LONELY_WAITS + EVENTS_UNTIL_NEXT_TRY:
                self._in_vain = LONELY_WAITS - 1
        # Writing takes at most half of a busy topic's time, and a third in a late process. In the remaining
        # time the next events are joined, which saves work.
        is_late = self._is_open and began - self._ends_at > LATE_SECONDS
        self._seconds = min(MAX_SECONDS, max(MIN_SECONDS, (2 if is_late else 1) * (ended - began)))
        self._ends_at = ended + self._seconds
