"""How long the events of a busy topic wait to be written together."""

from __future__ import annotations

#: Seconds for which events are joined, at least and at most: what writing costs decides.
MIN_SECONDS, MAX_SECONDS = 0.003, 0.05
#: A process that writes so much later than it meant to has more to do than time.
LATE_SECONDS = 0.0005
#: Waits in a row that joined nothing, after which events are written at once...
LONELY_WAITS = 3
#: ...and events written so before another wait is tried. One of 32 waits 3 ms for nobody.
EVENTS_UNTIL_NEXT_TRY = 32


class Window:
    """The window of one topic, which opens each time that something was written.

    A wait is worth it only where it joins something. A lone speaker, who waits for the echo before speaking
    on, would wait for nobody: after some waits in vain the topic's events are written at once, until several
    arrive together.
    """

    __slots__ = ("_ends_at", "_in_vain", "_is_open", "_seconds")

    def __init__(self) -> None:
        self._ends_at = 0.0
        self._seconds = MIN_SECONDS
        self._in_vain = 0
        #: Whether what waits now arrived while the window was open.
        self._is_open = False

    def wait(self, now: float) -> float:
        """Seconds for which an event that arrives now waits for others; none where that is not positive."""
        left = self._ends_at - now
        self._is_open = left > 0
        return 0.0 if self._in_vain >= LONELY_WAITS else left

    def wrote(self, began: float, ended: float, *, events: int) -> None:
        """So many events were written between these moments."""
        if events > 1:
            self._in_vain = 0
        elif self._is_open:  # it waited in vain, or would have
            self._in_vain += 1
            if self._in_vain >= LONELY_WAITS + EVENTS_UNTIL_NEXT_TRY:
                self._in_vain = LONELY_WAITS - 1
        # Writing takes at most half of a busy topic's time, and a third in a process that is late. In the
        # rest the next events are joined, which saves work.
        is_late = self._is_open and began - self._ends_at > LATE_SECONDS
        self._seconds = min(MAX_SECONDS, max(MIN_SECONDS, (2 if is_late else 1) * (ended - began)))
        self._ends_at = ended + self._seconds
