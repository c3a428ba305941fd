"""Turns: a process does one piece of some work at a time, shared fairly among the addresses that ask.

A bounded number of callers wait, in a thread (`take`) or on the loop (`ask`). Addresses are served in rounds:
each that waits has one turn before any of them has a second, and one that comes while others wait has
its turn after about as many as there are addresses, whoever comes later. Where there is no room left, the
address with the most callers gives up a place.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, wait

#: Addresses without a waiting caller whose round is remembered; beyond this, outdated ones are dropped.
REMEMBERED = 64


class NoTurnError(Exception):
    """There is no place to wait in, it was given to another address, or the wait took too long."""


class Caller:
    """A caller that waits for a turn, and is told once whether it has it."""

    __slots__ = ("address", "answer", "is_waiting")

    def __init__(self, address: str, answer: Callable[[bool], None]) -> None:
        self.address = address
        self.answer = answer
        self.is_waiting = True


class Turns:
    """A fair lock: `take` waits for the turn, and `give_back` ends it."""

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
        #: Seconds that the last turn took.
        self._took = 0.0
        #: The waiting callers, by address; an address is here as long as one of its callers waits.
        self._waiting: dict[str, deque[Caller]] = {}
        #: Goes on by one while each address that waits has one turn.
        self._round = 0.0
        #: The round in which an address is due: of those that wait, and of those that are ahead of it.
        self._due: dict[str, float] = {}

    def __len__(self) -> int:
        """How many callers wait."""
        with self._lock:
            return self._count()

    def take_if_free(self, address: str) -> bool:
        """Take the turn if it is free; returns whether it was."""
        with self._lock:
            if self._is_taken:
                return False
            self._hand_to(address)
            return True

    def take(self, address: str, *, seconds: float) -> None:
        """Wait in this thread for a turn for so long, or raise NoTurnError."""
        answered: Future[bool] = Future()
        caller = self.ask(address, answered.set_result)
        if caller is None:
            return
        if not wait([answered], seconds).done and self.withdraw(caller):
            raise NoTurnError
        if not answered.result():
            raise NoTurnError

    def ask(self, address: str, answer: Callable[[bool], None]) -> Caller | None:
        """Take the turn if it is free (None), or wait for it; raises NoTurnError where there is no room to.

        `answer` is called by whoever ends a turn or needs the place, and must not wait.
        """
        with self._lock:
            if not self._is_taken:
                self._hand_to(address)
                return None
            self._make_room(address)
            caller = Caller(address, answer)
            self._due[address] = self._due_of(address)
            self._waiting.setdefault(address, deque()).append(caller)
            return caller

    def withdraw(self, caller: Caller) -> bool:
        """Stop waiting for a caller; False when its answer was there first."""
        with self._lock:
            if caller.is_waiting:
                self._remove(caller)
                return True
            return False

    def give_back(self) -> None:
        """End a turn: the next one begins."""
        with self._lock:
            self._took = self._clock() - self._taken_at
            if not self._waiting:
                self._is_taken = False
                return
            address = min(self._waiting, key=self._due_of)  # of equals, the first that came
            caller = self._waiting[address][0]
            self._hand_to(address)
            self._remove(caller)
            caller.answer(True)  # noqa: FBT003 - a future's `set_result` takes no name

    def seconds_of_queue(self) -> float:
        """Seconds that the turns of the waiting callers will take, if they are like the last one."""
        with self._lock:
            return self._took * self._count()

    def _count(self) -> int:
        return sum(map(len, self._waiting.values()))

    def _hand_to(self, address: str) -> None:
        self._is_taken = True
        self._taken_at = self._clock()
        self._due[address] = self._due_of(address) + 1
        self._round += 1 / max(1, len(self._waiting))
        if len(self._due) > len(self._waiting) + REMEMBERED:
            self._due = {
                each: due for each, due in self._due.items() if each in self._waiting or due > self._round
            }

    def _due_of(self, address: str) -> float:
        """The round of the next turn. A waiting one keeps it; a new one gets the present or a later one."""
        due = self._due.get(address, 0.0)
        return due if address in self._waiting else max(due, self._round)

    def _make_room(self, address: str) -> None:
        """Make room for one more caller of this address, if need be in the place of another's newest."""
        own = len(self._waiting.get(address, ()))
        if own >= self._places_per_address():
            raise NoTurnError
        if self._count() < self._places():
            return
        if not self._waiting:
            raise NoTurnError

        def claim(of: str, callers: int) -> tuple[int, float]:
            return callers, self._due_of(of)

        largest = max(self._waiting, key=lambda each: claim(each, len(self._waiting[each])))
        if claim(address, own + 1) >= claim(largest, len(self._waiting[largest])):
            raise NoTurnError
        caller = self._waiting[largest][-1]
        self._remove(caller)
        caller.answer(False)  # noqa: FBT003 - as above

    def _remove(self, caller: Caller) -> None:
        caller.is_waiting = False
        callers = self._waiting[caller.address]
        callers.remove(caller)
        if not callers:
            del self._waiting[caller.address]
