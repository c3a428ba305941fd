"""What the server does itself when an event passes."""

from __future__ import annotations

from typing import Any, cast

import pytest

from realtime.hub import reactions
from realtime.hub.reactions import react, reacts_to
from realtime.hub.subscription import Subscriber
from tests.realtime.listeners import delivery


@pytest.fixture(autouse=True)
def none_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reactions, "_reactions", {})


class Concerned:
    """As much of a Subscriber as a reaction sees."""

    def __init__(self, as_of: int) -> None:
        self.as_of = as_of


def subscriber(as_of: int) -> Subscriber:
    return cast("Subscriber", Concerned(as_of))


def test_reactions_run_in_the_order_of_their_registration_and_once():
    ran = []

    @reacts_to("said")
    def first(event: Any, subscribers: Any) -> None:
        ran.append("first")

    reacts_to("said")(lambda event, subscribers: ran.append("second"))
    reacts_to("said")(first)

    react(delivery(1), [[subscriber(0)]])

    assert ran == ["first", "second"]


def test_event_concerns_those_whose_right_is_older():
    concerned = []
    reacts_to("said")(lambda event, subscribers: concerned.append([s.as_of for s in subscribers]))

    react(delivery(5), [[subscriber(0), subscriber(4)], [subscriber(5)], [subscriber(6)]])
    react(delivery(None), [[subscriber(9)]])

    assert concerned == [[0, 4], [9]]


def test_event_that_concerns_nobody_causes_nothing():
    ran = []
    reacts_to("said")(lambda event, subscribers: ran.append(1))

    react(delivery(5), [[subscriber(5)]])
    react(delivery(6), [[]])

    assert ran == []


def test_reaction_that_looks_for_nobody_costs_no_look_at_every_member():
    looked_at = []

    class Member(Concerned):
        @property
        def as_of(self) -> int:
            looked_at.append(self)
            return 0

        @as_of.setter
        def as_of(self, _value: int) -> None: ...

    reacts_to("said")(lambda event, subscribers: None)

    react(delivery(1), [[cast("Subscriber", Member(0)) for _ in range(1000)]])

    assert len(looked_at) == 1
