"""Garbage collections that nobody has to wait for.

A full collection looks at every object of every socket: with 2,000 sockets 170 ms in which everybody waits.
Python makes one whenever the young objects that outlived a while are a quarter of the old, and a busy server
makes such objects all the time: every few seconds, for nothing. For what ends here falls apart by itself: a
socket, its outbox and its server's protocol let go of each other (tests/acceptance/test_left_over.py).

So what has lived for some seconds is left out of collections, as the program itself is. Should something
leave cycles behind all the same, memory grows by it; when it has grown by half, all is looked through once.
"""

from __future__ import annotations

import asyncio
import gc

from realtime import background, heap
from realtime.vitals import resident_bytes

#: Net allocations before the youngest are collected, such collections before the next older ones are, and a
#: number that is never reached: full collections are made here.
THRESHOLDS = (2_000, 10, 1_000_000_000)
#: Seconds between two times that what is alive is left out.
SETTLE_SECONDS = 5.0
#: Such times between two that free memory is given back.
GIVE_BACK_ROUNDS = 12
#: How much memory may grow, in all and at least, before a full collection.
GROWTH, LEAST_GROWTH_BYTES = 1.5, 128 * 2**20


def leave_out_program() -> None:
    """Once, when everything has been loaded: nothing of it is ever garbage."""
    gc.collect()
    gc.freeze()


class Keeper:
    """Decides between leaving out what is alive and looking through all of it."""

    def __init__(self) -> None:
        self.enough_bytes = self._enough()

    def tend(self) -> None:
        """Once in a while."""
        if resident_bytes() > self.enough_bytes:
            gc.unfreeze()
            gc.collect()
            gc.freeze()
            self.enough_bytes = self._enough()
        else:
            gc.collect(1)  # the young, of whom most are dead
            gc.freeze()  # a list appended to another: however many there are

    @staticmethod
    def _enough() -> int:
        now = resident_bytes()
        return max(round(now * GROWTH), now + LEAST_GROWTH_BYTES)


@background.runs_with_hub
async def keep_collections_short() -> None:
    """For as long as the process serves."""
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
