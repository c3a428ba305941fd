"""The limits on frames that no application sees: pings, pongs, and the fragments of a message.

Each costs a server as much as a message, which the application sees and limits itself. So these frames have
rates of their own, LIMIT_CONTROL_FRAMES and LIMIT_FRAGMENTS.
"""

from __future__ import annotations

import time

from realtime.defaults import conf
from realtime.rates import Bucket

#: A smaller fragment costs more than its bytes do; an honest client cuts a large message into larger ones.
SMALL_FRAGMENT_BYTES = 1024


class Unheard:
    """The rates of such frames on one socket."""

    __slots__ = ("_control", "_fragments")

    def __init__(self) -> None:
        self._control, self._fragments = Bucket(), Bucket()

    def is_flood(self, *, control: int, fragments: int) -> bool:
        """Count control frames and small fragments; returns whether they are too many."""
        now, is_flood = time.monotonic(), False
        if control:
            is_flood = self._control.wait(conf.limit_control_frames, now, control) > 0
        if fragments:
            is_flood = self._fragments.wait(conf.limit_fragments, now, fragments) > 0 or is_flood
        return is_flood
