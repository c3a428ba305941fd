"""Odd names, topics, positions and sizes on the native socket get a documented code, and the socket lives.

`test_fuzz.py` sends frames at random; these are the ones that somebody would think of.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chat import services
from chat.events import conversation_topic
from notifications.services import notify
from realtime import MAX_INTEGER
from realtime.testing import position_at
from tests.attacks.callers import Caller, calling, outcome
from tests.attacks.conftest import Tenant
from tests.chat.speaking import aside, say

CODES = set(re.findall(r"^\| `(\w+)`", Path("docs/errors.md").read_text(), re.MULTILINE))


@pytest.fixture
async def people(hub: Any, make_tenant: Callable[[], Tenant]) -> Tenant:
    """A tenant in a database that the sockets' threads see."""
    return await aside(make_tenant)()


def strictly(text: str) -> dict[str, Any]:
    """Parse a frame, and fail if a name stands in it twice: readers differ in which of the two they take."""

    def one_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({name for name, _ in pairs}) == len(pairs), text
        return dict(pairs)

    frame: dict[str, Any] = json.loads(text, object_pairs_hook=one_of_each)
    return frame


#: Names that would end their string, object or frame if somebody pasted them into one.
NAMES: list[Any] = [
    '"',
    "\\",
    '\\"',
    '","type":"message","x":"',
    '"},{"type":"unsubscribed","id":"',
    '"}\n{"type":"hello"}',
    "\n\r\t",
    "\u2028\u2029\ufeff",
    "\U0001f600" * 64,
    "</script><script>alert(1)</script>",
    "%s{0}{}",
    "",
    " ",
    "0",
    "null",
    0,
    -1,
    MAX_INTEGER,
    -MAX_INTEGER,
]


async def test_no_name_breaks_out_of_a_frame(people: Tenant):
    """The client's id and ref come back as they were, beside an unchanged event."""
    where = {"conversation_id": people.conversation.pk}
    topic = f"conversation.{people.conversation.pk}"
    admin = people.people["admin"]
    async with calling(await aside(people.token)("member")) as caller:
        for name in NAMES:
            await caller.socket.send(
                {"type": "subscribe", "topic": topic, "id": name, "ref": name, "with_id": True}
            )
            answer = await caller.receive()
            assert (answer["type"], answer["id"], answer["ref"]) == ("subscribed", name, name)
        sent = await aside(say)(people.conversation, admin, "as it was")
        await aside(services.edit_message)(**where, message_id=sent.message_id, by=admin, content="anew")
        await aside(services.delete_message)(**where, message_id=sent.message_id, by=admin)
        events = await caller.hears("message_deleted", len(NAMES))
        for name in NAMES:
            of_it = [frame for frame in events if "topic" in frame and frame["id"] == name]
            assert [frame["type"] for frame in of_it] == [
                "subscribed",
                "message",
                "message_edited",
                "message_deleted",
            ]
            assert {frame["topic"] for frame in of_it} == {topic}
        for name in NAMES:
            await caller.socket.send({"type": "unsubscribe", "id": name, "ref": name})
            over = await caller.receive()
            assert (over["type"], over["id"], over["ref"]) == ("unsubscribed", name, name)
        for text in caller.heard:
            strictly(text)


@pytest.mark.parametrize("field", ["id", "ref", "topic"])
async def test_name_that_cannot_be_given_back_is_refused(people: Tenant, field):
    names = ['"\\u0000"', '"\\ud800"', '"\\u007f"', '"\\u001b["', json.dumps("x" * 65)]
    names += ["1.5", "true", "[]", "{}", str(MAX_INTEGER + 1), "9" * 400, '["a"]', "1e400"]
    async with calling(await aside(people.token)("member")) as caller:
        for name in names:
            fields = {"type": '"subscribe"', "topic": '"mine"', field: name}
            text = ",".join(f'"{key}":{value}' for key, value in fields.items())
            await caller.socket.send_text(f"{{{text}}}")
            answer = await caller.receive()
            assert outcome(answer) in ("invalid_frame", "invalid_json"), name
            assert answer["id"] in (None, "mine"), name
        assert await caller.catches_up() == []


async def listening(caller: Caller, people: Tenant) -> None:
    """Open a subscription that must not notice what happens beside it."""
    topic = f"conversation.{people.conversation.pk}"
    answer = await caller.ask("subscribe", topic=topic, id="witness", with_id=True, typing=False)
    assert outcome(answer) == "subscribed"


async def still_hears(caller: Caller, people: Tenant) -> None:
    await aside(say)(people.conversation, people.people["admin"], "still there")
    await caller.until(
        lambda told: ("witness", "still there") in {(f.get("id"), f.get("content")) for f in told}
    )


async def test_odd_topics_are_unknown(people: Tenant):
    number = people.conversation.pk
    odd = {
        "unknown_topic": [
            "", ".", "..", "user.1", f"user.{people.people['member'].pk}", "mine.", "mine.1", "inbox.",
            " inbox", "inbox\n", "notifications", f"Conversation.{number}", f"conversations.{number}", "*",
            "conversation*", "mine,inbox", "__class__", '{"a":1}', "ｍｉｎｅ", "%", "Inbox",
        ],
        "not_a_participant": [
            "conversation", "conversation.", f"conversation.{number}.typing", f"conversation.{number}.",
            f"conversation.{number} ", f"conversation. {number}", f"conversation.+{number}",
            f"conversation.0{number}", f"conversation.{number}.0", "conversation.٣", "conversation.1e0",
            "conversation.-1", "conversation.0", f"conversation.{MAX_INTEGER}", f"conversation.{2**63}",
            f"conversation.{'9' * 51}", "conversation.*", "conversation.1;2", 'conversation."1"',
        ],
    }  # fmt: skip
    async with calling(await aside(people.token)("member")) as caller:
        await listening(caller, people)
        for code, topics in odd.items():
            for topic in topics:
                answer = await caller.ask("subscribe", topic=topic, snapshot=1)
                assert (outcome(answer), answer["id"]) == (code, topic), topic
        await still_hears(caller, people)


async def test_odd_positions_are_answered(people: Tenant):
    """The positions are of another past, of another topic, or none at all, beside a subscription that goes
    on."""
    topic = f"conversation.{people.conversation.pk}"
    await aside(notify)(user=people.people["member"], kind="payment_completed", data={"payment_id": 1})
    elsewhere = await aside(position_at)(conversation_topic(people.conversation.pk), 2)
    positions: list[Any] = [
        "1-0123456789", "2-0123456789", elsewhere, "0-0123456789", "-1", "", " 1", "1 ", "1-", "-", "1-1-1",
        "x" * 64, "9" * 64, "1.0", "٣", "NaN", '"', "\n", 0, 1, 999, -1, MAX_INTEGER, -MAX_INTEGER,
    ]  # fmt: skip
    shapes: list[Any] = [
        2**53, 2**70, 1.5, True, [], ["1"], "x" * 65, {"a": 1}, {"a": None}, {"a": ["1"]}, {"a": {"b": "1"}},
    ]  # fmt: skip
    many = {f"conversation.{number}": "1-0123456789" for number in range(3_000)}
    ofs: list[tuple[str, list[Any]]] = [
        (topic, [*positions, *shapes, {}, {topic: "1"}]),
        ("inbox", [*positions, *shapes, {}, {"inbox": "1"}]),
        ("mine", [*positions, *shapes, {}, many, *({topic: str(each)} for each in positions)]),
        ("mine", [{"mine": str(each)} for each in positions]),
        ("mine", [{"": "1"}, {'"': '"'}, {topic: "x" * 10_000}, {"x" * 10_000: "1"}, {topic: "9" * 4_000}]),
    ]
    async with calling(await aside(people.token)("member")) as caller:
        await listening(caller, people)
        for name, sinces in ofs:
            for since in sinces:
                for more in ({}, {"snapshot": 1}):
                    answer = await caller.ask_any("subscribe", topic=name, id="odd", since=since, **more)
                    what = outcome(answer)
                    assert what in ("subscribed", "resync", "invalid_frame"), (name, str(since)[:90], answer)
                    if what != "invalid_frame":
                        assert outcome(await caller.ask("unsubscribe", id="odd")) == "unsubscribed"
        await still_hears(caller, people)
        for text in caller.heard:
            strictly(text)


async def test_odd_fields_are_answered_with_a_documented_code(people: Tenant):
    """The fields have numbers, texts and lists, at the edges of the commands' limits and beyond."""
    here = people.conversation.pk
    ids: list[Any] = [0, -1, 1.0, 1.5, "1", True, None, [], {}, 2**53, 2**63, 10**400, MAX_INTEGER]
    texts: list[Any] = ["", " ", "\n", "x" * 8_001, "\u202e", 7, None, [], {"a": "b"}, True]
    names: list[Any] = [None, "ana", [], [""], [7], ["x" * 151], ["a"] * 1_001, [None], ["a", "a"], {"a": 1}]
    sizes: list[Any] = [0, -1, 201, 2**53, 1.5, "5", True, None, []]
    odd: dict[str, dict[str, list[Any]]] = {
        "send": {"conversation_id": ids, "message": texts, "client_id": [*texts, "urn:uuid:", "{}", 0]},
        "edit": {"conversation_id": ids, "message_id": ids, "message": texts},
        "delete": {"conversation_id": ids, "message_id": ids},
        "read": {"conversation_id": ids, "up_to_seq": ids},
        "typing": {"conversation_id": ids, "is_typing": ["true", 1, None, []]},
        "conversations": {"limit": sizes, "cursor": [*texts, "W10", "e30", "MTIz", "bnVsbA", "9" * 5_000]},
        "conversation.create": {
            "participants": names,
            "title": ["x" * 201, 7, None],
            "opens_history": [1, "x"],
        },
        "conversation.rename": {"title": texts},
        "messages": {"before": ids, "after": ids, "limit": sizes},
        "members.add": {"participants": names, "role": ["", "Owner", None, 1, "member "]},
        "members.role": {"user_id": ids, "role": ["", None, 7]},
        "members.remove": {"user_id": ids},
        "notifications": {"before": ids, "after": ids, "limit": sizes, "unread": ["x", 1, None]},
        "notifications.read": {"ids": [*names, *([each] for each in ids), [1] * 201, list(range(1, 201))]},
        "subscribe": {"snapshot": sizes, "with_id": ["x", 1], "typing": [None, 0], "notices": ["false"]},
    }
    right: dict[str, Any] = {
        "conversation_id": here, "message": "hello", "message_id": people.ids["message_id"], "up_to_seq": 1,
        "is_typing": True, "participants": ["stranger"], "role": "member", "user_id": 999_999, "ids": [1],
        "topic": f"conversation.{here}", "title": "new",
    }  # fmt: skip
    async with calling(await aside(people.token)("member")) as caller:
        await listening(caller, people)
        for command, fields in odd.items():
            for field, values in fields.items():
                for value in values:
                    answer = await caller.ask_any(command, **{**right, field: value, "id": "odd"})
                    what = outcome(answer)
                    assert what in {*CODES, "ack", "subscribed"} - {"internal_error"}, (command, field, value)
                    assert what != "unavailable", (command, field, value)
                    if what == "subscribed":
                        await caller.ask("unsubscribe", id="odd")
        await still_hears(caller, people)
        for text in caller.heard:
            strictly(text)
