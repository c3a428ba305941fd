"""Reactions: what the server itself does when an event passes."""

from __future__ import annotations

from typing import Any, cast

import pytest

from realtime.hub import reactions
from realtime.hub.reactions import Told, acts_on, react, reacts_to
from realtime.hub.subscription import Subscription
from tests.realtime.listeners import Person, delivery


@pytest.fixture(autouse=True)
def none_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reactions, "_reactions", {})
    monkeypatch.setattr(reactions, "_actions", {})


class Member:
    """As much of a subscriber as a reaction sees."""

    def __init__(self, authorized_at: int, access: Person) -> None:
        self.authorized_at = authorized_at
        self.access = access
        self.user_id = access.user_id


def subscription(authorized_at: int, access: Person | None = None) -> Subscription:
    return cast("Subscription", Member(authorized_at, access or Person()))


def test_reactions_run_in_the_order_of_their_registration_and_once():
    ran = []

    @reacts_to("said")
    def first(event: Any) -> None:
        ran.append("first")

    @acts_on("said")
    def third(event: Any, told: Told) -> None:
        ran.append("third")

    reacts_to("said")(lambda event: ran.append("second"))
    reacts_to("said")(first)
    acts_on("said")(lambda event, told: ran.append("fourth"))
    acts_on("said")(third)

    react(delivery(1), [[subscription(0)]])

    assert ran == ["first", "second", "third", "fourth"]


def test_event_concerns_those_whose_right_is_older():
    concerned = []
    acts_on("said")(lambda event, told: concerned.append([each.authorized_at for each in told.everyone()]))

    react(delivery(5), [[subscription(0), subscription(4)], [subscription(5)], [subscription(6)]])
    react(delivery(None), [[subscription(9)]])

    assert concerned == [[0, 4], [9]]


@pytest.mark.parametrize("register", [reacts_to, acts_on])
def test_event_that_concerns_nobody_causes_nothing(register):
    ran = []
    register("said")(lambda *_: ran.append(1))

    react(delivery(5), [[subscription(5)]], lambda: ran.append("written"))
    react(delivery(6), [[]], lambda: ran.append("written"))

    assert ran == []


def test_reaction_that_looks_for_nobody_costs_no_look_at_every_member():
    looked_at = []

    class Watched(Member):
        @property
        def authorized_at(self) -> int:
            looked_at.append(self)
            return 0

        @authorized_at.setter
        def authorized_at(self, _value: int) -> None: ...

    reacts_to("said")(lambda event: None)
    acts_on("said")(lambda event, told: None)

    react(delivery(1), [[cast("Subscription", Watched(0, Person())) for _ in range(1000)]])

    assert len(looked_at) == 1


def test_waiting_events_are_written_before_an_action_and_not_for_a_reaction():
    order = []
    reacts_to("said")(lambda event: order.append("reaction"))

    react(delivery(1), [[subscription(0)]], lambda: order.append("written"))
    acts_on("said")(lambda event, told: order.append("action"))
    acts_on("said")(lambda event, told: order.append("another"))
    react(delivery(2), [[subscription(0)]], lambda: order.append("written"))

    assert order == ["reaction", "reaction", "written", "action", "another"]


def test_subscription_that_fell_behind_at_the_writing_is_not_acted_on():
    acted_on = []
    acts_on("said")(lambda event, told: acted_on.extend(told.everyone()))
    stays, falls_behind = subscription(0), subscription(0)
    live = [stays, falls_behind]

    react(delivery(1), [live], lambda: live.remove(falls_behind))

    assert acted_on == [stays]


def test_action_finds_the_subscriptions_of_a_user_and_each_access_once():
    found: list[Any] = []
    ana, at_home, bruno, newer = Person(1), Person(1), Person(2), Person(1)
    first, second, third, other = (subscription(0, person) for person in (ana, at_home, ana, bruno))

    acts_on("said")(lambda event, told: found.append(told.of_user(1)))
    acts_on("said")(lambda event, told: found.append(told.accesses()))
    react(delivery(5), [[first, other], [second, third, subscription(5, newer)]])

    assert found == [[first, second, third], [ana, bruno, at_home]]


def test_action_may_end_those_it_finds():
    acts_on("said")(lambda event, told: [live.remove(each) for each in told.everyone()])
    live = [subscription(0) for _ in range(5)]

    react(delivery(5), [live])

    assert live == []


def test_failing_reaction_or_action_is_logged_and_stops_no_other(caplog):
    ran = []

    def fail(*_: Any) -> None:
        raise RuntimeError("a bug")

    for register in (reacts_to, acts_on):
        register("said")(fail)
        register("said")(lambda *_: ran.append(1))

    react(delivery(1), [[subscription(0)]])

    assert ran == [1, 1]
    assert caplog.messages == ["A reaction to said on talk.1 failed"] * 2
