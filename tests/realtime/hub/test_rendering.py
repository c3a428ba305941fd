"""Renderings are values: equal ones share the same bytes, which are made once and kept no longer than
needed."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from realtime.events import Delivery, Event, encode
from realtime.hub import pages
from realtime.hub.hub import Hub
from realtime.hub.rendering import EVERYTHING, NOTHING, Enveloped, Frame, OnlyTypes, Rendering, Stretch
from realtime.wire.frames import frame_of
from tests.realtime.listeners import TOPIC, Listener, Log, Person, body, delivery, settle

rendered: list[tuple[str, list[int | None]]] = []
wrapped: list[str] = []


@pytest.fixture(autouse=True)
def nothing_counted() -> None:
    rendered.clear()
    wrapped.clear()


@pytest.fixture
async def quiet_hub() -> Hub:
    """A hub that does nothing by itself."""
    return Hub(asyncio.get_running_loop())


@dataclass(frozen=True)
class Spelled:
    """Renders each event as its number, and counts how often it is asked."""

    prefix: str
    left_out: tuple[Any, ...] = ()

    def render(self, write: Sequence[Delivery]) -> list[Frame]:
        rendered.append((self.prefix, [event.seq for event in write]))
        return [Frame(f"{self.prefix}{event.seq}", self.left_out) for event in write]


@dataclass(frozen=True)
class Joined:
    """Renders one frame for all events of a write."""

    def render(self, write: Sequence[Delivery]) -> list[Frame]:
        return [Frame(json.dumps([event.seq for event in write]))]


@dataclass(frozen=True)
class Binary:
    """Renders the text of an event as a binary frame."""

    def render(self, write: Sequence[Delivery]) -> list[Frame]:
        return [Frame(b"\x00" + event.body.encode()) for event in write]


@dataclass(frozen=True)
class Named:
    """An envelope that puts a name around a payload."""

    name: str

    def wrap(self, payload: str | bytes) -> str | bytes:
        wrapped.append(self.name)
        if isinstance(payload, bytes):
            return self.name.encode() + b":" + payload
        return f"{self.name}:{payload}"


def stretch(*events: Delivery) -> Stretch:
    return Stretch(events or (delivery(1), delivery(2)))


def told(hub: Hub, *seqs: int) -> None:
    hub.receive([(TOPIC, seq, body(seq)) for seq in seqs])


# ── values ───────────────────────────────────────────────────────────────────────────────────────────────


def test_equal_renderings_share_one_batch_and_its_bytes() -> None:
    events = stretch()

    batch = events.batch(Spelled("a"))

    assert events.batch(Spelled("a")) is batch
    assert batch.data is events.batch(Spelled("a")).data
    assert events.batch(Spelled("b")).payloads == ["b1", "b2"]
    assert rendered == [("a", [1]), ("a", [2]), ("b", [1]), ("b", [2])]


async def test_sockets_with_equal_renderings_are_written_the_same_bytes(quiet_hub, monkeypatch) -> None:
    listeners = [Listener(user_id) for user_id in (1, 2, 3)]
    data: list[bytes] = []
    for listener in listeners:
        listener.join(quiet_hub, position=0, rendering=Spelled("a"))
        monkeypatch.setattr(listener, "push_batch", lambda batch: data.append(batch.data) or True)

    told(quiet_hub, 1)
    assert all(listener.told == [] for listener in listeners)

    assert rendered == [("a", [1])]
    assert data[0] == frame_of("a1")
    assert data[0] is data[1] is data[2]


async def test_rendering_that_nobody_uses_any_more_is_kept_nowhere(quiet_hub) -> None:
    def own() -> Rendering:
        return Spelled("a")

    ana, bruno, carla = Listener(1), Listener(2), Listener(3)
    ana.join(quiet_hub, position=0, rendering=(first := own()))
    bruno.join(quiet_hub, position=0, rendering=(second := own()))
    carla.join(quiet_hub, position=0)
    told(quiet_hub, 1, 2)
    assert ana.told == bruno.told == ["a1", "a2"]
    kept = [weakref.ref(first), weakref.ref(second)]
    del first, second

    ana.leave()
    told(quiet_hub, 3)
    assert bruno.told[-1] == "a3"
    [of_bruno] = bruno.subscriptions
    of_bruno.render_as(EVERYTHING)
    told(quiet_hub, 4)
    assert len(carla.seqs) == 4
    gc.collect()

    assert [rendering() for rendering in kept] == [None, None]
    assert quiet_hub.audience(TOPIC).live.keys() == {EVERYTHING}


async def test_equal_rendering_in_place_of_another_changes_nothing(quiet_hub) -> None:
    ana = Listener()
    ana.join(quiet_hub, position=0, rendering=Spelled("a"))
    told(quiet_hub, 1)

    [of_ana] = ana.subscriptions
    of_ana.render_as(Spelled("a"))

    assert ana._told == []  # the events that wait are not written for it either
    told(quiet_hub, 2)
    assert ana.told == ["a1", "a2"]


def test_some_types_or_none_are_told() -> None:
    events = stretch(delivery(1, "said"), delivery(2, "typed"), delivery(3, "said"))

    assert events.batch(OnlyTypes(frozenset({"typed"}))).payloads == [body(2, "typed")]
    assert events.batch(OnlyTypes(frozenset({"typed"}))) is events.batch(OnlyTypes(frozenset({"typed"})))
    assert not events.batch(NOTHING)
    assert events.batch(EVERYTHING).payloads == [body(1), body(2, "typed"), body(3)]


def test_frame_that_cannot_be_made_costs_nobody_the_others(caplog) -> None:
    class Surrogate:
        def render(self, write: Sequence[Delivery]) -> list[Frame]:
            return [Frame("\ud800" if event.seq == 2 else event.body) for event in write]

    batch = stretch(delivery(1), delivery(2), delivery(3)).batch(Surrogate())

    assert batch.payloads == [body(1), body(3)]
    assert batch.data == frame_of(body(1)) + frame_of(body(3))
    assert caplog.messages == [f"An event of {TOPIC} could not be rendered for some sockets"]


# ── envelopes ────────────────────────────────────────────────────────────────────────────────────────────


def test_body_is_rendered_once_for_all_envelopes() -> None:
    events = stretch()

    first = events.batch(Enveloped(Spelled("a"), Named("one")))
    second = events.batch(Enveloped(Spelled("a"), Named("two")))

    assert first.payloads == ["one:a1", "one:a2"]
    assert second.payloads == ["two:a1", "two:a2"]
    assert rendered == [("a", [1]), ("a", [2])]


def test_equal_envelopes_share_finished_bytes() -> None:
    events = stretch()

    first = events.batch(Enveloped(Spelled("a"), Named("one")))
    second = events.batch(Enveloped(Spelled("a"), Named("one")))

    assert first.data is second.data
    assert wrapped == ["one", "one"]  # two events


def test_envelopes_may_be_in_envelopes() -> None:
    events = stretch(delivery(1))

    for outer in ("x", "y"):
        inner = Enveloped(Spelled("a"), Named("one"))
        assert events.batch(Enveloped(inner, Named(outer))).payloads == [f"{outer}:one:a1"]

    assert rendered == [("a", [1])]
    assert wrapped == ["one", "x", "y"]


def test_binary_frames_are_told_in_envelopes_and_without() -> None:
    events = stretch(delivery(1))
    payload = b"\x00" + body(1).encode()

    assert events.batch(Binary()).payloads == [payload]
    assert events.batch(Binary()).data == frame_of(payload)
    assert events.batch(Binary()).data[0] == 0x82
    assert events.batch(Enveloped(Binary(), Named("one"))).payloads == [b"one:" + payload]


def test_user_left_out_of_a_body_is_left_out_of_its_envelopes() -> None:
    batch = stretch(delivery(1)).batch(Enveloped(Spelled("a", left_out=(7,)), Named("one")))

    assert batch.chunk_for([7]).payloads == []
    assert batch.chunk_for([8]) is batch


def test_broken_envelope_is_logged_and_breaks_no_other(caplog) -> None:
    class Torn:
        def wrap(self, payload: str | bytes) -> str | bytes:
            raise KeyError("name")

    events = stretch()

    assert not events.batch(Enveloped(Spelled("a"), Torn()))
    assert events.batch(Enveloped(Spelled("a"), Named("one"))).payloads == ["one:a1", "one:a2"]
    assert set(caplog.messages) == {f"An event of {TOPIC} could not be rendered for some sockets"}


# ── writes ───────────────────────────────────────────────────────────────────────────────────────────────


class Changed(Event, tag="changed", frozen=True):
    write: str
    seq: int = 0


class Said(Event, tag="said", frozen=True):
    words: str
    write: str = ""
    seq: int = 0


def changed(seq: int, write: str) -> Delivery:
    return Delivery(TOPIC, seq, encode(Changed(write=write, seq=seq)))


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        (encode(Changed(write="w1", seq=1)), "w1"),
        (encode(Changed(write="", seq=1)), ""),
        (encode(Said(words="x", write="w1", seq=1)), ""),  # not its first field
        (encode(Said(words=',"write":"w1"')), ""),
        (body(1), ""),
        ("", ""),
        ("{", ""),
        (',"write":"', ""),
    ],
)
def test_mark_of_a_write_is_the_first_field_of_an_event(text: str, mark: str) -> None:
    assert Delivery(TOPIC, 1, text).write == mark


def test_events_of_one_write_are_rendered_together_and_others_alone_in_their_order() -> None:
    events = stretch(
        delivery(1),
        delivery(2),
        changed(3, "w1"),
        changed(4, "w1"),
        changed(5, "w1"),
        changed(6, "w2"),
        changed(7, ""),
        changed(8, ""),
        changed(9, "w1"),
    )

    batch = events.batch(Joined())

    assert batch.payloads == ["[1]", "[2]", "[3, 4, 5]", "[6]", "[7]", "[8]", "[9]"]


async def test_one_write_is_one_frame_live_whoever_comes_later(quiet_hub) -> None:
    ana = Listener()
    ana.join(quiet_hub, position=0, rendering=Joined())

    quiet_hub.receive([(TOPIC, seq, changed(seq, "w1").body) for seq in (1, 2, 3)])
    quiet_hub.receive([(TOPIC, 4, body(4))])

    assert ana.told == ["[1, 2, 3]", "[4]"]


# ── subscribers that are left out ────────────────────────────────────────────────────────────────────────


async def test_named_subscription_is_left_out_and_another_of_the_same_user_is_not(quiet_hub) -> None:
    ana, at_home, bruno = Listener(1), Listener(1), Listener(2)
    rendering = Spelled("a", left_out=("membership 1",))
    for listener, name in ((ana, "membership 1"), (at_home, "membership 2"), (bruno, None)):
        listener.subscribe(quiet_hub, position=0, rendering=rendering, name=name)

    told(quiet_hub, 1)

    assert (ana.told, at_home.told, bruno.told) == ([], ["a1"], ["a1"])


async def test_users_are_left_out_however_their_subscriptions_are_named(quiet_hub) -> None:
    ana, at_home, bruno, nobody = Listener(1), Listener(1), Listener(2), Listener(3)
    rendering = Spelled("a", left_out=(1, "membership 3"))
    ana.subscribe(quiet_hub, position=0, rendering=rendering, name="membership 1")
    at_home.subscribe(quiet_hub, position=0, rendering=rendering)
    bruno.subscribe(quiet_hub, position=0, rendering=rendering, name="membership 4")
    nobody.subscribe(quiet_hub, position=0, rendering=rendering, access=Person(None))

    told(quiet_hub, 1)

    assert (ana.told, at_home.told, bruno.told, nobody.told) == ([], [], ["a1"], ["a1"])


async def test_subscription_is_left_out_of_what_it_reads_in_the_log_too(quiet_hub, monkeypatch) -> None:
    log = Log(head=2)
    monkeypatch.setattr(pages, "read_page", log.read_page)
    ana, at_home = Listener(1), Listener(1)
    rendering = Spelled("a", left_out=("membership 1",))
    for listener, name in ((ana, "membership 1"), (at_home, "membership 2")):
        listener.subscribe(quiet_hub, position=0, authorized_at=2, rendering=rendering, name=name)
    await settle()

    assert (ana.told, at_home.told) == ([], ["a1", "a2"])
    assert ana.live_at == at_home.live_at == 2


def test_only_some_frames_leave_somebody_out() -> None:
    @dataclass(frozen=True)
    class ToOthers:
        def render(self, write: Sequence[Delivery]) -> list[Frame]:
            return [Frame(str(event.seq), (event.seq,)) for event in write]

    batch = stretch(delivery(1), delivery(2), delivery(3)).batch(ToOthers())

    assert batch.left_out == {1, 2, 3}
    assert batch.chunk_for([2]).payloads == ["1", "3"]
    assert batch.chunk_for([2]).data == frame_of("1") + frame_of("3")
    assert batch.chunk_for([4, "x"]) is batch
