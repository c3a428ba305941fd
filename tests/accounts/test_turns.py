"""Turns: one at a time, shared fairly by address, with bounded room and a bounded wait."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from accounts import turns as module
from accounts.turns import NoTurnError, Turns
from tests.processes import wait_until

PATIENT = 30.0


class Clerk:
    """Queues callers up one after the other, and notes who got the turn."""

    def __init__(self, turns: Turns, threads: ThreadPoolExecutor) -> None:
        self.turns = turns
        self.threads = threads
        self.served: list[str] = []

    def queue(self, *addresses: str, seconds: float = PATIENT) -> list[Future[None]]:
        """Queue callers up: each waits before the next one comes."""
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


class Line:
    """Callers on the loop, which wait in no thread; notes which got the turn, and which were sent away."""

    def __init__(self, places: int = 99) -> None:
        self.turns = Turns(places=lambda: places, places_per_address=lambda: places)
        self.served: list[str] = []
        self.sent_away: list[str] = []

    def ask(self, *addresses: str) -> None:
        for address in addresses:
            self._ask(address)

    def serve(self, times: int = 1) -> None:
        for _ in range(times):
            self.turns.give_back()

    def _ask(self, address: str) -> None:
        def answer(has_turn: bool) -> None:
            (self.served if has_turn else self.sent_away).append(address)

        self.turns.ask(address, answer)


def test_newcomers_do_not_go_before_somebody_for_ever():
    """Each turn brings an address that never had one; an address that had one still gets another."""
    line = Line()
    line.ask("first", "a", "b", "member", "c")
    for number in range(30):
        line.ask(f"new {number}")
        line.serve()
        if line.served == ["a", "b", "member"]:
            line.ask("member")

    before = line.served.index("member", 3) - 3
    assert 0 < before <= 10  # five addresses wait at a time: the rest of that round, and one more


def test_address_that_asks_more_goes_before_no_other():
    line = Line()
    line.ask("first", "much", "much", "much", "much", "much", "a", "b")
    line.serve(3)
    line.ask("late")
    line.serve(5)

    assert line.served == ["much", "a", "b", "much", "late", "much", "much", "much"]


def test_address_has_so_many_places(clerk):
    desk = clerk(places_per_address=2)
    calls = desk.queue("a", "a")

    with pytest.raises(NoTurnError):
        desk.turns.take("a", seconds=PATIENT)

    calls += desk.queue("b")
    desk.turns.give_back()
    finished(calls)


def test_newcomer_gets_the_newest_place_of_the_address_with_most(clerk):
    desk = clerk(places=5)
    a, b = desk.queue("a", "a", "a"), desk.queue("b", "b")

    late = desk.threads.submit(desk._ask, "c", PATIENT)

    with pytest.raises(NoTurnError):
        a[2].result(timeout=10)
    desk.turns.give_back()
    finished([*a[:2], *b, late])
    assert desk.served == ["a", "b", "c", "a", "b"]


def test_full_queue_refuses_the_addresses_with_most(clerk):
    desk = clerk(places=4)
    calls = desk.queue("a", "a", "b", "b")

    for address in ("a", "b"):
        with pytest.raises(NoTurnError):
            desk.turns.take(address, seconds=PATIENT)

    desk.turns.give_back()
    finished(calls)


def test_newcomer_gets_the_place_of_an_address_that_just_had_a_turn_and_of_no_equal():
    line = Line(places=3)
    line.ask("first", "a", "a", "b")
    line.serve()
    line.ask("c", "new")
    assert (line.served, line.sent_away) == (["a"], ["a"])

    with pytest.raises(NoTurnError):
        line.ask("late")


def test_wait_ends_and_leaves_no_place_taken(clerk):
    desk = clerk(places=1)

    with pytest.raises(NoTurnError):
        desk.turns.take("a", seconds=0.01)

    assert len(desk.turns) == 0
    calls = desk.queue("a")
    desk.turns.give_back()
    finished(calls)


def test_turn_that_comes_in_the_last_moment_is_taken():
    """The wait is over, and before the caller can leave, its turn comes: nobody else would be given that
    turn."""
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


def test_addresses_are_forgotten_at_last():
    turns = Turns(places=lambda: 9, places_per_address=lambda: 9)

    for number in range(1_000):
        assert turns.take_if_free(str(number))
        turns.give_back()

    assert len(turns._due) <= module.REMEMBERED
