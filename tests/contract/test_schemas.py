"""A class becomes a schema: strict about frames from the server, tolerant of frames from clients."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest

from contract.asyncapi import document
from contract.schemas import asked, told
from contract.sockets import Socket
from contract.validation import Contract
from guide_dialect.consumer import COMMON_FRAMES, GuideConsumer
from realtime import ADDED, Command, ErrorTold, Event, Id, Seq


class Inner(msgspec.Struct):
    name: str
    size: int = 0


class Kept(Event, tag="kept", frozen=True):
    """Something happened."""

    what: Inner
    seq: Seq = 0
    later: Annotated[int | None, ADDED] = None


class Around(msgspec.Struct):
    topic: str


class Wish(msgspec.Struct):
    """Do it."""

    order_id: Id
    note: str | None = None
    #: Its default is a value that no client could send.
    token: Annotated[Any, msgspec.Meta(extra_json_schema={"type": "string"})] = None


def test_told_frame_has_every_field_and_no_other() -> None:
    schema, inner = told(Kept)

    assert list(schema["properties"]) == ["type", "what", "seq", "later", "position"]
    assert schema["required"] == ["type", "what", "seq", "position"]
    assert schema["additionalProperties"] is False
    assert schema["description"] == "Something happened."
    assert inner["Inner"]["required"] == ["name", "size"]
    assert inner["Inner"]["additionalProperties"] is False


def test_envelope_stands_in_front() -> None:
    schema, _ = told(Kept, around=Around)

    assert list(schema["properties"])[:2] == ["topic", "type"]
    assert "topic" in schema["required"]


def test_sent_frame_may_have_more_fields_and_needs_the_required_ones() -> None:
    schema, _ = asked("wish", Wish, is_default=False)

    assert schema["required"] == ["type", "order_id", "token"]
    assert "additionalProperties" not in schema
    assert list(schema["properties"]) == ["type", "order_id", "note", "token", "ref"]
    assert asked("wish", Wish, is_default=True)[0]["required"] == ["order_id", "token"]


class Shop(GuideConsumer):
    """A shop of another app."""

    kind = "shop"

    def _wish(self, fields: Wish, ref: Any) -> None: ...

    commands = {**GuideConsumer.commands, "wish": Command(Wish, _wish)}
    frames = (Kept, *COMMON_FRAMES)
    guide_frames = (ErrorTold,)


@pytest.fixture
def shop() -> Contract:
    return Contract(document([Socket("/ws/shop/{shop_id}/", ("shop_id",), Shop)]))


KEPT = {"type": "kept", "what": {"name": "a", "size": 1}, "seq": 1, "position": "1-0123456789"}


@pytest.mark.parametrize(
    ("frame", "flaw"),
    [
        ({}, None),
        ({"later": 4}, None),
        ({"more": 1}, "more"),
        ({"what": {"name": "a", "size": 1, "more": 1}}, "more"),
        ({"seq": "1"}, "seq"),
        ({"seq": -1}, "seq"),
        ({"position": "1-01234567"}, "position"),
        ({"type": "lost"}, "unknown type 'lost'"),
        ({"type": 7}, "no object with a type"),
    ],
)
def test_socket_of_another_app_joins_by_what_it_declares(
    shop: Contract, frame: Any, flaw: str | None
) -> None:
    found = shop.conversation("/ws/shop/7/?v=1").told(msgspec.json.encode(KEPT | frame))

    assert found is None if flaw is None else flaw in str(found)


@pytest.mark.parametrize("name", ["what", "seq", "position"])
def test_field_that_is_missing_is_a_flaw(shop: Contract, name: str) -> None:
    frame = {key: value for key, value in KEPT.items() if key != name}

    assert name in str(shop.conversation("/ws/shop/7/?v=1").told(msgspec.json.encode(frame)))


def test_frame_that_is_no_json_is_a_flaw(shop: Contract) -> None:
    for payload in (b"\xff", "{", "[]", "7"):
        assert shop.conversation("/ws/shop/7/?v=1").told(payload)
        assert shop.conversation("/ws/shop/7/?v=1").said(payload)


def test_frame_that_the_guide_does_not_know_is_told_to_clients_that_opted_in(shop: Contract) -> None:
    frame, wish = msgspec.json.encode(KEPT), '{"type":"wish","order_id":1,"token":"x"}'

    for path, subprotocols in (
        ("/ws/shop/7/?v=1", ()),
        ("/ws/shop/7/?since=", ()),
        ("/ws/shop/7/", ("relais.v1",)),
    ):
        assert shop.conversation(path, subprotocols).told(frame) is None
    guide = shop.conversation("/ws/shop/7/?v=10")
    assert "does not know kept" in str(guide.told(frame))
    assert guide.said(wish) is None
    assert guide.told(frame) is None


def test_socket_that_nobody_describes_is_not_judged(shop: Contract) -> None:
    assert shop.conversation("/ws/shop/7/more/").told("anything") is None
    assert shop.conversation("/ws/elsewhere/").said("anything") is None


def test_frames_that_were_told_are_remembered(shop: Contract) -> None:
    shop.conversation("/ws/shop/7/?v=1").told(msgspec.json.encode(KEPT))

    assert shop.seen == {("shop", "kept")}
