"""Places: the connections that get one, and those that make room."""

from __future__ import annotations

import pytest

from realtime.servers.places import Place, Places
from realtime.servers.refusals import CONNECTIONS, CONNECTIONS_PER_ADDRESS, Refusal


class Door:
    """The places, and the connections that were ended for others."""

    def __init__(self) -> None:
        self.places = Places()
        self.ended: list[tuple[str, Refusal]] = []

    def lets_in(self, peer: str | None, name: str = "") -> Place | Refusal:
        return self.places.take(peer, lambda refusal: self.ended.append((name or str(peer), refusal)))

    def place(self, peer: str | None, name: str = "") -> Place:
        taken = self.lets_in(peer, name)
        assert isinstance(taken, Place)
        return taken


@pytest.fixture
def door(settings) -> Door:
    settings.RELAIS = {
        "limit_connections": 4,
        "limit_connections_per_address": 2,
        "trusted_proxies": ("10.0.0.0/8",),
    }
    return Door()


def test_address_that_is_full_gives_up_what_waits_longest(door: Door) -> None:
    for name in ("first", "second", "third"):
        door.place("192.0.2.1", name)

    assert door.ended == [("first", CONNECTIONS_PER_ADDRESS)]
    assert door.places.open == 2


def test_connection_gives_way_once_whatever_comes_of_its_answer(door: Door) -> None:
    first = door.place("192.0.2.1", "first")
    for name in ("second", "third"):
        door.place("192.0.2.1", name)
    first.waits()  # its answer was under way, and is written now
    first.leave()

    for name in ("fourth", "fifth", "sixth", "seventh"):
        door.place("192.0.2.1", name)

    assert [name for name, _ in door.ended] == ["first", "second", "third", "fourth", "fifth"]
    assert door.places.open == 2


def test_addresses_of_one_subscriber_are_one(door: Door) -> None:
    for number in range(3):
        door.place(f"2001:db8::{number}", str(number))

    assert door.ended == [("0", CONNECTIONS_PER_ADDRESS)]


def test_full_process_takes_a_place_from_the_address_with_most(door: Door) -> None:
    for peer in ("192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.3"):
        door.place(peer)

    door.place("192.0.2.9")

    assert door.ended == [("192.0.2.2", CONNECTIONS)]
    assert door.places.open == 4


def test_connection_that_is_being_answered_is_left_alone(door: Door) -> None:
    busy = [door.place("192.0.2.1", name) for name in ("first", "second")]
    busy[0].works()
    door.place("192.0.2.1", "third")
    assert door.ended == [("second", CONNECTIONS_PER_ADDRESS)]

    busy[0].waits()  # again: behind the others
    door.place("192.0.2.1", "fourth")

    assert door.ended[1:] == [("third", CONNECTIONS_PER_ADDRESS)]


def test_newcomer_is_refused_when_all_are_being_answered(door: Door) -> None:
    for number in (1, 1, 2, 2):
        door.place(f"192.0.2.{number}").works()

    assert door.lets_in("192.0.2.1") is CONNECTIONS_PER_ADDRESS
    assert door.lets_in("192.0.2.3") is CONNECTIONS
    assert door.ended == []


def test_proxies_have_a_limit_in_all_only(door: Door) -> None:
    for _ in range(4):
        door.place("10.0.0.1").works()

    assert door.lets_in("10.0.0.1") is CONNECTIONS


def test_unix_socket_is_a_proxy(door: Door) -> None:
    for _ in range(4):
        door.place(None).works()

    assert door.lets_in(None) is CONNECTIONS


def test_place_comes_back_once(door: Door) -> None:
    place = door.place("192.0.2.1")
    place.leave()
    place.leave()

    assert door.places.open == 0
    assert door.places._addresses == {}


def test_limits_can_be_off(door: Door, settings) -> None:
    settings.RELAIS = {"limit_connections": 0, "limit_connections_per_address": 0}
    for _ in range(3_000):
        door.place("192.0.2.1")

    assert door.ended == []
