"""Garbage collection in short steps, so that sockets do not wait for it.

A full collection looks at every object of every socket: with 2,000 sockets 170 ms in which everybody waits.
Python makes one whenever the young objects that outlived a while are a quarter of the old ones, which on a
busy server is every few seconds. It finds nothing: a socket, its outbox and its server's protocol let go of
each other when the socket ends (tests/acceptance/test_left_over.py).

So objects that have lived for some seconds are frozen, which leaves them out of collections, as the program's
own objects are. Some things leave cycles behind all the same, such as a refused HTTP request with its
traceback. When half as much memory again is in use, one full collection looks through everything.
"""

from __future__ import annotations

import asyncio
import gc
import sys

from realtime.process import background, heap

#: Thresholds of `gc`: net allocations until the youngest generation is collected, such collections until the
#: next one is, and a number that is never reached: full collections are made here.
THRESHOLDS = (2_000, 10, 1_000_000_000)
#: Seconds between two times that live objects are frozen.
SETTLE_SECONDS = 5.0
#: Freezes between two times that free memory is returned to the system.
GIVE_BACK_ROUNDS = 12
#: Growth until a full collection: a factor, and at least so many more blocks of Python's
#: own heap, about one for each object. Resident memory says less: hashing a password takes 19 MB of it for a
#: moment, and pages between objects in use stay resident when they are free.
GROWTH, LEAST_GROWTH_BLOCKS = 1.5, 1_000_000


def leave_out_program() -> None:
    """Freeze the program's own objects, which are never garbage; called once, when everything is loaded."""
    gc.collect()
    gc.freeze()


class Keeper:
    """Freezes live objects, or makes a full collection when too much is in use."""

    def __init__(self) -> None:
        self.enough_blocks = self._enough()

    def tend(self) -> None:
        """Freeze or collect; called every few seconds."""
        if sys.getallocatedblocks() > self.enough_blocks:
            gc.unfreeze()
            gc.collect()
            gc.freeze()
            self.enough_blocks = self._enough()
        else:
            gc.collect(1)  # the young, most of which are dead
            gc.freeze()  # in constant time: it joins two lists

    @staticmethod
    def _enough() -> int:
        now = sys.getallocatedblocks()
        return max(round(now * GROWTH), now + LEAST_GROWTH_BLOCKS)


@background.runs_with_hub
async def keep_collections_short() -> None:
    """Call `tend` every few seconds, for as long as the process serves."""
    keeper, rounds, before = Keeper(), 0, gc.get_threshold()
    gc.set_threshold(*THRESHOLDS)
    try:
        while True:
            await asyncio.sleep(SETTLE_SECONDS)
            keeper.tend()
            rounds += 1
            if rounds % GIVE_BACK_ROUNDS == 0:
                heap.give_back()
    finally:
        gc.set_threshold(*before)
