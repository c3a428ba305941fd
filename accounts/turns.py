"""Turns at work of which a process does one piece at a time, shared fairly among the addresses that ask.

A bounded number of callers wait, each in its own thread. The turn goes to the address that had its last one
longest ago, and where there is no room left, the address with the most callers gives up a place: who asks a
thousand times waits for themselves, and who asks once waits for one turn of each other address at most.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

#: Addresses whose last turn is remembered: about 2 MB, and more turns than a process gives in minutes.
REMEMBERED = 10_000


class NoTurnError(Exception):
    """There is no place to wait in, it was given to another address, or the wait took too long."""


class _Caller:
    """Somebody who waits for a turn."""

    __slots__ = ("address", "answered", "has_turn")

    def __init__(self, address: str) -> None:
        self.address = address
        self.answered = threading.Event()
        self.has_turn = False

    def answer(self, *, has_turn: bool) -> None:
        self.has_turn = has_turn
        self.answered.set()


class Turns:
    """One turn at a time; `take` waits for it, and who took it calls `give_back`."""

    def __init__(
        self,
        *,
        places: Callable[[], int],
        places_per_address: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._places = places
        self._places_per_address = places_per_address
        self._clock = clock
        self._lock = threading.Lock()
        self._is_taken = False
        self._taken_at = 0.0
        #: How long the last turn took.
        self._took = 0.0
        #: Those who wait, by address; an address is here as long as one of its callers waits.
        self._waiting: dict[str, deque[_Caller]] = {}
        #: The number of the last turn of an address, the newest at the end.
        self._last_turn: OrderedDict[str, int] = OrderedDict()
        self._turns = 0

    def __len__(self) -> int:
        """How many wait."""
        with self._lock:
            return self._count()

    def take_if_free(self, address: str) -> bool:
        """Take the turn if nobody has it, and say whether."""
        with self._lock:
            if self._is_taken:
                return False
            self._hand_to(address)
            return True

    def take(self, address: str, *, seconds: float) -> None:
        """Wait for a turn for so long, or raise NoTurnError."""
        with self._lock:
            if not self._is_taken:
                self._hand_to(address)
                return
            self._make_room(address)
            caller = _Caller(address)
            self._waiting.setdefault(address, deque()).append(caller)
        if not caller.answered.wait(seconds):
            with self._lock:
                if not caller.answered.is_set():  # not even in the last moment
                    self._remove(caller)
        if not caller.has_turn:
            raise NoTurnError

    def give_back(self) -> None:
        """End a turn: the next one begins."""
        with self._lock:
            self._took = self._clock() - self._taken_at
            if not self._waiting:
                self._is_taken = False
                return
            # Of those that never had one, who came first.
            address = min(self._waiting, key=self._number_of_last_turn)
            caller = self._waiting[address][0]
            self._remove(caller)
            self._hand_to(address)
            caller.answer(has_turn=True)

    def seconds_of_queue(self) -> float:
        """How long the turns of those who wait will take, if they are like the last one."""
        with self._lock:
            return self._took * self._count()

    def _count(self) -> int:
        return sum(map(len, self._waiting.values()))

    def _hand_to(self, address: str) -> None:
        self._is_taken = True
        self._taken_at = self._clock()
        self._turns += 1
        self._last_turn[address] = self._turns
        self._last_turn.move_to_end(address)
        if len(self._last_turn) > REMEMBERED:
            self._last_turn.popitem(last=False)

    def _number_of_last_turn(self, address: str) -> int:
        return self._last_turn.get(address, 0)

    def _make_room(self, address: str) -> None:
        """See that one more caller of this address may wait: if need be, in the place of another's newest."""
        own = len(self._waiting.get(address, ()))
        if own >= self._places_per_address():
            raise NoTurnError
        if self._count() < self._places():
            return
        if not self._waiting:
            raise NoTurnError

        def claim(of: str, callers: int) -> tuple[int, int]:
            return callers, self._number_of_last_turn(of)

        largest = max(self._waiting, key=lambda each: claim(each, len(self._waiting[each])))
        if claim(address, own + 1) >= claim(largest, len(self._waiting[largest])):
            raise NoTurnError
        caller = self._waiting[largest][-1]
        self._remove(caller)
        caller.answer(has_turn=False)

    def _remove(self, caller: _Caller) -> None:
        callers = self._waiting[caller.address]
        callers.remove(caller)
        if not callers:
            del self._waiting[caller.address]
