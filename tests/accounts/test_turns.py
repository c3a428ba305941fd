"""Turns: one at a time, fairly shared by address, with bounded room and a bounded wait."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from accounts import turns as module
from accounts.turns import NoTurnError, Turns
from tests.processes import wait_until

PATIENT = 30.0


class Clerk:
    """Lets callers queue up one after the other, and notes who got the turn."""

    def __init__(self, turns: Turns, threads: ThreadPoolExecutor) -> None:
        self.turns = turns
        self.threads = threads
        self.served: list[str] = []

    def queue(self, *addresses: str, seconds: float = PATIENT) -> list[Future[None]]:
        """Each of them waits before the next one comes."""
        calls = []
        for address in addresses:
            before = len(self.turns)
            calls.append(self.threads.submit(self._ask, address, seconds))
            wait_until(lambda n=before: len(self.turns) == n + 1, seconds=10, what=f"{address} waits")  # type: ignore[misc]
        return calls

    def _ask(self, address: str, seconds: float) -> None:
        self.turns.take(address, seconds=seconds)
        self.served.append(address)
        self.turns.give_back()


@pytest.fixture
def clerk() -> Iterator[Callable[..., Clerk]]:
    with ThreadPoolExecutor(50) as threads:

        def make(places: int = 40, places_per_address: int = 20) -> Clerk:
            turns = Turns(places=lambda: places, places_per_address=lambda: places_per_address)
            assert turns.take_if_free("whoever")
            return Clerk(turns, threads)

        yield make


def finished(calls: list[Future[None]]) -> None:
    for call in calls:
        call.result(timeout=10)


def test_one_turn_at_a_time(clerk):
    turns = Turns(places=lambda: 40, places_per_address=lambda: 40)
    inside, most = [], []

    def work(number: int) -> None:
        turns.take(str(number % 3), seconds=PATIENT)
        inside.append(number)
        most.append(len(inside))
        inside.remove(number)
        turns.give_back()

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(work, range(40)))

    assert most == [1] * 40
    assert turns.take_if_free("a")


def test_addresses_take_turns_however_many_callers_they_have(clerk):
    desk = clerk()
    calls = desk.queue("a", "a", "a", "a", "b", "b", "c")

    desk.turns.give_back()
    finished(calls)

    assert desk.served == ["a", "b", "c", "a", "b", "a", "a"]


def test_who_had_a_turn_lately_waits_for_who_had_none(clerk):
    desk = clerk()
    finished_before = desk.queue("a", "b")
    desk.turns.give_back()
    finished(finished_before)
    assert desk.turns.take_if_free("somebody")
    calls = desk.queue("b", "a", "new")

    desk.turns.give_back()
    finished(calls)

    assert desk.served == ["a", "b", "new", "a", "b"]


def test_address_has_so_many_places(clerk):
    desk = clerk(places_per_address=2)
    calls = desk.queue("a", "a")

    with pytest.raises(NoTurnError):
        desk.turns.take("a", seconds=PATIENT)

    calls += desk.queue("b")
    desk.turns.give_back()
    finished(calls)


def test_newcomer_gets_the_newest_place_of_who_has_most(clerk):
    desk = clerk(places=5)
    a, b = desk.queue("a", "a", "a"), desk.queue("b", "b")

    late = desk.threads.submit(desk._ask, "c", PATIENT)

    with pytest.raises(NoTurnError):
        a[2].result(timeout=10)
    desk.turns.give_back()
    finished([*a[:2], *b, late])
    assert desk.served == ["a", "b", "c", "a", "b"]


def test_full_queue_refuses_who_has_most_already(clerk):
    desk = clerk(places=4)
    calls = desk.queue("a", "a", "b", "b")

    for address in ("a", "b"):
        with pytest.raises(NoTurnError):
            desk.turns.take(address, seconds=PATIENT)

    desk.turns.give_back()
    finished(calls)


def test_newcomer_gets_in_where_as_many_addresses_as_places_had_their_turn(clerk):
    """Many addresses that come again and again do not keep out one that comes for the first time."""
    desk = clerk(places=3)
    calls = desk.queue("a", "b", "c")
    desk.turns.give_back()
    finished(calls)
    assert desk.turns.take_if_free("somebody")
    calls = desk.queue("a", "b", "c")

    late = desk.threads.submit(desk._ask, "new", PATIENT)

    with pytest.raises(NoTurnError):
        calls[2].result(timeout=10)  # of the equals, the one that was served last
    desk.turns.give_back()
    finished([*calls[:2], late])
    assert desk.served[3:] == ["new", "a", "b"]


def test_wait_ends_and_leaves_no_place_taken(clerk):
    desk = clerk(places=1)

    with pytest.raises(NoTurnError):
        desk.turns.take("a", seconds=0.01)

    assert len(desk.turns) == 0
    calls = desk.queue("a")
    desk.turns.give_back()
    finished(calls)


def test_turn_that_comes_in_the_last_moment_is_taken():
    """The wait is over, and before the caller can leave, it is its turn: nobody else would be given it."""
    turns = Turns(places=lambda: 1, places_per_address=lambda: 1)
    turns.take("a", seconds=0)
    caller_waits = threading.Event.wait

    def late(event: threading.Event, seconds: float | None = None) -> bool:
        turns.give_back()
        return False

    threading.Event.wait = late
    try:
        turns.take("b", seconds=PATIENT)
    finally:
        threading.Event.wait = caller_waits

    assert not turns.take_if_free("c")


def test_queue_is_as_long_as_its_turns_will_take(clerk):
    now = 0.0
    turns = Turns(places=lambda: 9, places_per_address=lambda: 9, clock=lambda: now)
    turns.take("a", seconds=0)
    now = 2.0
    turns.give_back()
    turns.take("a", seconds=0)
    with ThreadPoolExecutor(3) as threads:
        desk = Clerk(turns, threads)
        calls = desk.queue("a", "b", "c")

        assert turns.seconds_of_queue() == 6.0
        turns.give_back()
        finished(calls)


def test_addresses_are_forgotten_at_last(monkeypatch):
    monkeypatch.setattr(module, "REMEMBERED", 3)
    turns = Turns(places=lambda: 1, places_per_address=lambda: 1)

    for number in range(10):
        assert turns.take_if_free(str(number))
        turns.give_back()

    assert list(turns._last_turn) == ["7", "8", "9"]
