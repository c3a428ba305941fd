"""What answers on the native socket show is described as OpenAPI does, and each is held to that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from drf_spectacular.generators import SchemaGenerator
from rest_framework import serializers

from chat import serializers as shapes
from contract import asyncapi, rest, testing
from contract.components import SCHEMAS
from contract.sockets import Socket
from contract.validation import Contract
from native.commands import COMMANDS, in_thread
from native.consumer import NativeConsumer
from native.feeds import Feed, feed, feeds
from native.frames import Subscribed
from tests.chat.speaking import aside, say
from tests.native.conftest import conversation, page_of

__all__ = ["conversation", "page_of"]

DOCUMENT = asyncapi.document()
OPENAPI = SchemaGenerator().get_schema(request=None, public=True)["components"]["schemas"]


@pytest.fixture
def flaws() -> list[str]:
    """What was found in this test, taken from it before it fails for that."""
    return testing._flaws


def taken(flaws: list[str]) -> str:
    found = "\n".join(flaws)
    flaws.clear()
    return found


def field_of(schema: str, name: str) -> dict[str, Any]:
    field: dict[str, Any] = DOCUMENT["components"]["schemas"][schema]["properties"][name]
    return field


def with_enum(field: dict[str, Any]) -> dict[str, Any]:
    """A field whose enum stands in its place; the OpenAPI document keeps enums under names of their own."""
    for inner in field.get("allOf", [field]):
        name = inner.get("$ref", "").rpartition("/")[2]
        if name.endswith("Enum"):
            found = {**OPENAPI[name], **field}
            return {word: value for word, value in found.items() if word not in ("$ref", "allOf")}
    return field


# ── the document ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "name", ["Conversation", "Member", "Message", "Notification", "ReadAll", "UnreadCount"]
)
def test_schema_is_that_of_the_openapi_document(name: str) -> None:
    described = OPENAPI[name]
    properties = {key: with_enum(field) for key, field in described["properties"].items()}

    assert DOCUMENT["components"]["schemas"][f"{rest.REST}{name}"] == rest.closed(
        {**described, "properties": properties}
    )


def test_every_command_and_every_feed_says_what_it_shows() -> None:
    in_it = {
        key: message
        for key, message in DOCUMENT["channels"]["native"]["messages"].items()
        if key.endswith((".result", ".subscribed"))
    }

    assert {key.removesuffix(".subscribed") for key in in_it if key.endswith(".subscribed")} == set(feeds())
    for key, message in in_it.items():
        schema = DOCUMENT["components"]["schemas"][message["payload"]["$ref"].removeprefix(SCHEMAS)]
        shown = schema["properties"]["result" if key.endswith(".result") else "snapshot"]
        assert shown.keys() & {"$ref", "anyOf", "type"}, key


def test_page_of_a_socket_has_the_fields_of_rests_but_for_its_links() -> None:
    for name, socket in (
        ("History", "HistoryPage"),
        ("Conversations", "ConversationsPage"),
        ("Inbox", "InboxPage"),
    ):
        ours = DOCUMENT["components"]["schemas"][f"{rest.REST}{socket}"]["properties"].keys()
        assert OPENAPI[name]["properties"].keys() - {"next", "previous"} <= ours, name


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        ({"type": "integer", "format": "int64", "readOnly": True}, {"type": "integer"}),
        (
            {"type": ["string", "null"], "format": "uuid"},
            {"anyOf": [{"type": "string", "format": "uuid"}, {"type": "null"}]},
        ),
        (
            {"type": ["string", "null"], "enum": ["a", None]},
            {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]},
        ),
        (
            {"allOf": [{"$ref": "#/components/schemas/A"}], "description": "It."},
            {"$ref": "#/components/schemas/rest.A", "description": "It."},
        ),
        (
            {"oneOf": [{"$ref": "#/components/schemas/A"}, {"type": "null"}]},
            {"anyOf": [{"$ref": "#/components/schemas/rest.A"}, {"type": "null"}]},
        ),
        ({"type": "object", "additionalProperties": {}}, {"type": "object", "additionalProperties": {}}),
        (
            {"type": "object", "properties": {"a": {"type": "string", "default": "x"}}},
            {
                "type": "object",
                "properties": {"a": {"type": "string"}},
                "required": ["a"],
                "additionalProperties": False,
            },
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_schema_is_cut_down_and_closed(described: dict[str, Any], expected: dict[str, Any]) -> None:
    assert rest.closed(described) == expected


# ── every answer ─────────────────────────────────────────────────────────────────────────────────────────


async def test_field_that_only_the_output_of_a_serializer_has_is_found(
    ana, bruno, conversation, page_of, flaws, monkeypatch: pytest.MonkeyPatch
):
    shown = shapes.MemberSerializer.to_representation

    def renamed(self: Any, member: Any) -> dict[str, Any]:
        row = shown(self, member)
        row["handle"] = row.pop("username")
        return row

    async with page_of(ana) as page:
        await page.ask("members", conversation_id=conversation.pk)
        assert taken(flaws) == ""
        monkeypatch.setattr(shapes.MemberSerializer, "to_representation", renamed)
        await page.ask("members", conversation_id=conversation.pk)
        assert "handle" in taken(flaws)
        await page.ask("subscribe", topic="mine", snapshot=True)
        assert "handle" in taken(flaws)


async def test_result_of_another_command_is_found(ana, bruno, conversation, page_of, flaws, monkeypatch):
    await aside(say)(conversation, bruno, "one")
    monkeypatch.setitem(COMMANDS, "members", COMMANDS["messages"])
    async with page_of(ana) as page:
        answer = await page.ask("members", conversation_id=conversation.pk)
        assert "results" in answer["result"]

    assert "the server told" in taken(flaws)


async def test_snapshot_of_another_feed_is_found(ana, bruno, conversation, page_of, flaws, monkeypatch):
    monkeypatch.setattr(feeds()["conversation"], "subscribed", Subscribed.of_feeds["mine"])
    say_live = Feed.say_live

    def with_positions(self: Any, place: Any, **more: Any) -> None:
        say_live(self, place, positions={}, **more)

    monkeypatch.setattr(Feed, "say_live", with_positions)
    async with page_of(ana) as page:
        await page.ask("subscribe", topic=f"conversation.{conversation.pk}")

    assert "the server told" in taken(flaws)


# ── apps ─────────────────────────────────────────────────────────────────────────────────────────────────


class ParcelSerializer(serializers.Serializer[Any]):
    """A parcel of an order."""

    weight = serializers.IntegerField(allow_null=True)


class Ship(msgspec.Struct):
    """Ship an order."""


@pytest.fixture
def shipping(monkeypatch: pytest.MonkeyPatch) -> Iterator[Contract]:
    """The contract with commands and a feed of another app."""
    monkeypatch.setattr("native.feeds._feeds", dict(feeds()))
    monkeypatch.setattr(Subscribed, "of_feeds", dict(Subscribed.of_feeds))
    in_thread("ship", Ship, shows=ParcelSerializer(many=True))(lambda user, wish: [])
    in_thread("ship.later", Ship)(lambda user, wish: None)
    feed("parcels", shows=ParcelSerializer)(type("ParcelsFeed", (Feed,), {}))
    yield Contract(asyncapi.document([Socket("/ws/", (), NativeConsumer)]))
    for name in ("ship", "ship.later"):
        del COMMANDS[name]


SUBSCRIBED = {
    "type": "subscribed", "id": "p", "topic": "parcels", "seq": 1, "position": "1-0123456789",
    "resumed": False, "reason": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("command", "told", "is_right"),
    [
        ("ship", {"type": "ack", "result": [{"weight": 3}, {"weight": None}]}, True),
        ("ship", {"type": "ack", "result": [{"weight": "3"}]}, False),
        ("ship", {"type": "ack", "result": [{"weight": 3, "colour": "red"}]}, False),
        ("ship", {"type": "ack", "result": None}, False),
        ("ship", {"type": "ack"}, False),
        ("ship.later", {"type": "ack", "result": None}, True),
        ("ship.later", {"type": "ack", "result": [{"weight": 3}]}, False),
        ("subscribe", SUBSCRIBED | {"snapshot": {"weight": 3}}, True),
        ("subscribe", SUBSCRIBED | {"snapshot": None}, True),
        ("subscribe", SUBSCRIBED | {"snapshot": {}}, False),
        ("subscribe", SUBSCRIBED | {"topic": "conversation.1", "snapshot": {"weight": 3}}, False),
    ],
)
def test_command_and_feed_of_another_app_are_held_to_what_they_declare(
    shipping: Contract, command: str, told: dict[str, Any], is_right: bool
) -> None:
    socket = shipping.conversation("/ws/")
    socket.said(msgspec.json.encode({"type": command, "topic": "parcels", "ref": 1}))

    flaw = socket.told(msgspec.json.encode(told | {"ref": 1}))

    assert (flaw is None) == is_right, flaw


def test_answer_is_of_the_command_with_its_ref(shipping: Contract) -> None:
    socket = shipping.conversation("/ws/")
    for ref, command in ((1, "ship"), ("1", "ship.later"), (1, "ping")):
        socket.said(msgspec.json.encode({"type": command, "ref": ref}))

    assert socket.told(b'{"type":"ack","ref":"1","result":[]}')
    assert socket.told(b'{"type":"ack","ref":"1","result":null}') is None
    assert socket.told(b'{"type":"pong","ref":1,"server_time":"2026-12-01T10:30:00Z"}') is None
    assert "no answer" in str(socket.told(b'{"type":"pong","ref":1,"server_time":"2026-12-01T10:30:00Z"}'))
    assert socket.told(b'{"type":"ack","ref":1,"result":[]}') is None
    assert socket.asked == {1: [], "1": []}


def test_any_of_the_commands_with_one_ref_may_have_been_answered_by_an_error() -> None:
    socket = testing.contract().conversation("/ws/")
    socket.said('{"type":"send","ref":1,"conversation_id":5,"message":"one"}')
    socket.said('{"type":"edit","ref":1,"conversation_id":5,"message_id":9,"message":"two"}')
    refused = {
        "type": "error",
        "ref": 1,
        "id": None,
        "code": "message_not_found",
        "message": "No such message.",
    }
    sent = {"type": "ack", "ref": 1, "client_id": None, "message_id": 9, "seq": 2, "duplicate": False}
    for frame in (
        refused | {"retryable": False, "retry_after_ms": None},
        sent | {"created_at": "2026-12-01T09:24:22.604000Z"},
    ):
        assert socket.told(msgspec.json.encode(frame)) is None
