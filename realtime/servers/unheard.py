"""Frames that no application hears of: pings, pongs, and the fragments that a message is cut into.

Each costs a server as much as a message that the application does hear of and limits itself; so they have
rates of their own, LIMIT_CONTROL_FRAMES and LIMIT_FRAGMENTS.
"""

from __future__ import annotations

import time

from realtime.defaults import conf
from realtime.rates import Bucket

#: A fragment below it costs more than its bytes do: who has much to say cuts it into larger ones.
SMALL_FRAGMENT_BYTES = 1024


class Unheard:
    """What one socket has sent of them."""

    __slots__ = ("_control", "_fragments")

    def __init__(self) -> None:
        self._control, self._fragments = Bucket(), Bucket()

    def is_flood(self, *, control: int, fragments: int) -> bool:
        """Count some more of them; whether that is too much."""
        now, is_flood = time.monotonic(), False
        if control:
            is_flood = self._control.wait(conf.limit_control_frames, now, control) > 0
        if fragments:
            is_flood = self._fragments.wait(conf.limit_fragments, now, fragments) > 0 or is_flood
        return is_flood
