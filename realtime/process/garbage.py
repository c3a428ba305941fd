"""Garbage collections that nobody has to wait for.

A full collection looks at every object of every socket: with 2,000 sockets 170 ms in which everybody waits.
Python makes one whenever the young objects that outlived a while are a quarter of the old, and a busy server
makes such objects all the time: every few seconds, for nothing. For what ends here falls apart by itself: a
socket, its outbox and its server's protocol let go of each other (tests/acceptance/test_left_over.py).

So what has lived for some seconds is left out of collections, as the program itself is. Some things leave
cycles behind all the same: a refused request over HTTP, with its traceback. Those that were left out add up;
when there is half as much again in use, all is looked through once.
"""

from __future__ import annotations

import asyncio
import gc
import sys

from realtime.process import background, heap

#: Net allocations before the youngest are collected, such collections before the next older ones are, and a
#: number that is never reached: full collections are made here.
THRESHOLDS = (2_000, 10, 1_000_000_000)
#: Seconds between two times that what is alive is left out.
SETTLE_SECONDS = 5.0
#: Such times between two that free memory is given back.
GIVE_BACK_ROUNDS = 12
#: How much more may be in use before a full collection, in all and at least, in blocks of Python's own heap:
#: about one for each object. Resident memory says less: hashing a password takes 100 MB of it for a moment,
#: and what garbage left free between what is in use stays resident.
GROWTH, LEAST_GROWTH_BLOCKS = 1.5, 1_000_000


def leave_out_program() -> None:
    """Once, when everything has been loaded: nothing of it is ever garbage."""
    gc.collect()
    gc.freeze()


class Keeper:
    """Decides between leaving out what is alive and looking through all of it."""

    def __init__(self) -> None:
        self.enough_blocks = self._enough()

    def tend(self) -> None:
        """Once in a while."""
        if sys.getallocatedblocks() > self.enough_blocks:
            gc.unfreeze()
            gc.collect()
            gc.freeze()
            self.enough_blocks = self._enough()
        else:
            gc.collect(1)  # the young, of whom most are dead
            gc.freeze()  # a list appended to another: however many there are

    @staticmethod
    def _enough() -> int:
        now = sys.getallocatedblocks()
        return max(round(now * GROWTH), now + LEAST_GROWTH_BLOCKS)


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
