"""Channels: joins, replies, broadcasts, tokens and ends, as the unmodified client needs them."""

from __future__ import annotations

import asyncio
import json

import pytest
from asgiref.sync import sync_to_async

from accounts.services import revoke_all
from realtime.testing import open_socket, refusal_of
from supabase.keys import anon_key
from supabase.rules import EVERYTHING, Allowed, _rules, private_channels
from tests.supabase.conftest import PATH

pytestmark = pytest.mark.django_db(transaction=True)

SALON = "realtime:salon"


@pytest.fixture
def private():
    """Private channels: `mine-<id>` is that of its user, `read-only` is everybody's to read."""
    before = list(_rules)

    @private_channels(r"mine-(?P<user_id>[0-9]+)")
    def mine(user, user_id):
        return EVERYTHING if user is not None and user.pk == int(user_id) else None

    @private_channels("read-only")
    def read_only(user):
        return Allowed(read_broadcasts=True)

    yield
    _rules[:] = before


def message(event, payload, **more):
    return {"type": "broadcast", "event": event, "payload": payload, **more}


# --- the handshake ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("vsn=2.0.0", 401),
        ("vsn=2.0.0&apikey=", 401),
        ("vsn=2.0.0&apikey=nonsense", 401),
        ("vsn=2.0.0&apikey=sb_publishable_1", 401),
        ("vsn=2.0.0&apikey=KEY&apikey=KEY", 401),
        ("vsn=3.0.0&apikey=KEY", 400),
    ],
)
async def test_handshake_without_a_key_or_of_another_version_is_refused(hub, query, status):
    refusal = await refusal_of(f"{PATH}?{query.replace('KEY', anon_key())}")

    assert refusal.status == status
    assert list(json.loads(refusal.body)) == ["error"]


async def test_page_of_any_origin_may_open_the_socket_with_a_key(hub):
    headers = [(b"origin", b"https://elsewhere.example")]
    async with open_socket(f"{PATH}?apikey={anon_key()}", headers=headers) as socket:
        await socket.send({"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "1"})
        answer = await socket.receive()

    assert answer == {
        "topic": "phoenix",
        "event": "phx_reply",
        "payload": {"status": "ok", "response": {}},
        "ref": "1",
    }


@pytest.mark.parametrize("path", ["/ws/", "/ws/notifications/"])
async def test_anon_key_is_no_token_anywhere_else(hub, path):
    async with open_socket(f"{path}?token={anon_key()}") as socket:
        assert await socket.receive_close() == 4401


# --- joins and leaves ---------------------------------------------------------------------------------


async def test_join_is_answered_and_a_second_one_replaces_it(phoenix):
    async with phoenix() as client:
        first = await client.join(SALON)
        second = await client.push(SALON, "phx_join", {})
        closed, reply = await client.receive(), await client.receive()
        assert await client.ask(SALON, "phx_leave", join_ref=second) == {"status": "ok", "response": {}}
        gone = await client.receive()

    assert closed == [first, first, SALON, "phx_close", {}]
    assert reply == [
        second,
        second,
        SALON,
        "phx_reply",
        {"status": "ok", "response": {"postgres_changes": []}},
    ]
    assert gone == [second, second, SALON, "phx_close", {}]


async def test_leave_and_join_back_to_back_leave_the_new_membership(phoenix):
    async with phoenix() as client, phoenix() as other:
        first = await client.join(SALON)
        await client.push(SALON, "phx_leave", join_ref=first)
        await client.push(SALON, "phx_join", {})
        frames = [await client.receive() for _ in range(3)]
        joined = await other.join(SALON)
        await other.push(SALON, "broadcast", message("vu", 1), join_ref=joined)

        assert (await client.receive())[4] == message("vu", 1)
    assert [frame[3] for frame in frames] == ["phx_reply", "phx_close", "phx_reply"]
    assert frames[1][:2] == [first, first]


@pytest.mark.parametrize("topic", ["realtime:", "salon", "other:salon", ""])
async def test_channel_has_a_name(phoenix, topic):
    async with phoenix() as client:
        answer = await client.ask(topic, "phx_join", {})

    assert answer["status"] == "error"
    assert answer["response"]["reason"].startswith("TopicNameRequired: ")


async def test_names_hold_anything(phoenix):
    names = ["realtime:a:b", "realtime:é/ ☃", "realtime:" + "x" * 400, "realtime:realtime:a"]
    async with phoenix() as client, phoenix() as other:
        for name in names:
            await client.join(name)
        joins = [await other.join(name) for name in names]
        for name, joined in zip(names, joins, strict=True):
            await other.push(name, "broadcast", message("vu", name), join_ref=joined)
        told = [await client.receive() for _ in names]

    assert [(frame[2], frame[4]["payload"]) for frame in told] == [(name, name) for name in names]


async def test_push_into_a_channel_that_was_not_joined(phoenix):
    async with phoenix() as client:
        unmatched = await client.ask(SALON, "broadcast", message("vu", 1))
        left = await client.ask(SALON, "phx_leave")

    assert unmatched == {"status": "error", "response": {"reason": "unmatched topic"}}
    assert left == {"status": "ok", "response": {}}


async def test_stale_and_unknown_pushes_are_passed_over(phoenix):
    async with phoenix() as client:
        joined = await client.join(SALON, broadcast={"self": True, "ack": True})
        await client.push(SALON, "broadcast", message("vu", 1), join_ref="1")
        await client.push(SALON, "nonsense", {}, join_ref=joined)
        await client.socket.send_text("nonsense")
        await client.socket.send_text('["1","2"]')
        await client.socket.send_bytes(b"\x07nonsense")

        assert await client.is_silent()


async def test_more_channels_than_a_socket_may_have_are_refused(phoenix, monkeypatch):
    monkeypatch.setattr("supabase.socket.consumer.MAX_CHANNELS", 2)
    async with phoenix() as client:
        await client.join("realtime:a")
        await client.join("realtime:b")
        await client.push("realtime:a", "phx_join", {})
        assert [(await client.receive())[3] for _ in range(2)] == ["phx_close", "phx_reply"]
        answer = await client.ask("realtime:c", "phx_join", {})

    assert answer["response"]["reason"] == "ChannelRateLimitReached: Too many channels"


# --- broadcasts ---------------------------------------------------------------------------------------


async def test_broadcast_reaches_the_others_and_its_sender_where_it_wants_it(phoenix):
    async with phoenix() as ana, phoenix() as bruno, phoenix() as eve:
        mine = await ana.join(SALON)
        echoing = await bruno.join(SALON, broadcast={"self": "true", "ack": True})
        await eve.join("realtime:other")
        await ana.push(SALON, "broadcast", message("vu", {"n": 7}), join_ref=mine)
        heard = await bruno.receive()
        await bruno.push(SALON, "broadcast", message("vu", {"n": 8}), join_ref=echoing)
        frames = [await bruno.receive(), await bruno.receive()]
        back = await ana.receive()

        assert await ana.is_silent()
        assert await eve.is_silent()

    assert heard == [None, None, SALON, "broadcast", message("vu", {"n": 7})]
    assert back == [None, None, SALON, "broadcast", message("vu", {"n": 8})]
    assert sorted(frame[3] for frame in frames) == ["broadcast", "phx_reply"]


async def test_bytes_reach_those_who_can_read_them(phoenix):
    push = b"\x03\x01\x01\x0e\x02\x00\x00" + b"6" + b"9" + SALON.encode() + b"vu" + b"\x01\x02\xff"
    async with phoenix() as ana, phoenix() as bruno, phoenix(path=f"{PATH}?vsn=1.0.0") as old:
        assert await ana.join(SALON) == "6"
        await bruno.join(SALON)
        await old.socket.send(
            {"topic": SALON, "event": "phx_join", "payload": {}, "ref": "1", "join_ref": "1"}
        )
        await old.socket.receive()
        await ana.socket.send_bytes(push)
        told = await bruno.socket.receive_bytes()
        await old.socket.send({"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "2"})
        assert (await old.socket.receive())["topic"] == "phoenix"

    assert told == b"\x04\x0e\x02\x00\x00" + SALON.encode() + b"vu" + b"\x01\x02\xff"


async def test_broadcast_that_is_too_large_is_refused(phoenix, monkeypatch):
    monkeypatch.setattr("supabase.socket.consumer.MAX_BROADCAST_BYTES", 10)
    async with phoenix() as client:
        joined = await client.join(SALON, broadcast={"ack": True})
        answer = await client.ask(SALON, "broadcast", message("vu", "x" * 20), join_ref=joined)

    assert answer == {"status": "error", "response": {"error": "payload_size_exceeded"}}


# --- private channels and tokens ----------------------------------------------------------------------


async def test_private_channel_is_for_those_whom_its_rule_lets_in(phoenix, private, ana, bruno, token_of):
    name = f"realtime:mine-{ana.pk}"
    tokens = [await sync_to_async(token_of)(user) for user in (ana, bruno)]
    async with phoenix() as client:
        refused = [
            await client.ask(name, "phx_join", {"config": {"private": True}}),
            await client.ask(name, "phx_join", {"config": {"private": True}, "access_token": tokens[1]}),
            await client.ask("realtime:nowhere", "phx_join", {"config": {"private": True}}),
        ]
        await client.join(name, private=True, token=tokens[0])

    assert {each["status"] for each in refused} == {"error"}
    assert all(each["response"]["reason"].startswith("Unauthorized: ") for each in refused)


async def test_private_and_public_channel_of_one_name_have_nothing_in_common(phoenix, private, ana):
    name = f"realtime:mine-{ana.pk}"
    async with phoenix(ana) as inside, phoenix() as outside:
        joined = await inside.join(name, private=True)
        public = await outside.join(name)
        await outside.push(name, "broadcast", message("vu", 1), join_ref=public)
        await inside.push(name, "broadcast", message("vu", 2), join_ref=joined)

        assert await inside.is_silent()
        assert await outside.is_silent()


async def test_who_may_only_read_is_told_so(phoenix, private, ana):
    async with phoenix(ana) as client:
        joined = await client.join("realtime:read-only", private=True, broadcast={"ack": True})
        answer = await client.ask("realtime:read-only", "broadcast", message("vu", 1), join_ref=joined)

    assert answer == {"status": "error", "response": {"error": "unauthorized"}}


@pytest.mark.parametrize("token", ["nonsense", "", 7, "a.b.c"])
async def test_join_with_a_token_that_is_none_is_refused(phoenix, token):
    async with phoenix() as client:
        answer = await client.ask(SALON, "phx_join", {"access_token": token})

    assert answer["response"]["reason"].startswith("MalformedJWT: ")


async def test_token_of_another_user_takes_the_right_away(phoenix, private, ana, bruno, token_of):
    name = f"realtime:mine-{ana.pk}"
    async with phoenix(ana) as client:
        joined = await client.join(name, private=True)
        await client.join(SALON)
        other = await sync_to_async(token_of)(bruno)
        await client.push(name, "access_token", {"access_token": other}, join_ref=joined)
        system, closed = await client.receive(), await client.receive()
        assert await client.is_silent()

    assert system[3:] == [
        "system",
        {
            "extension": "system",
            "status": "error",
            "message": f"You do not have permissions to read from this Channel topic: mine-{ana.pk}",
            "channel": f"mine-{ana.pk}",
        },
    ]
    assert closed == [joined, joined, name, "phx_close", {}]


@pytest.mark.parametrize("given", [None, "sb_secret_1", "KEY"])
async def test_token_that_says_nothing_new_is_passed_over(phoenix, given):
    async with phoenix() as client, phoenix() as other:
        joined = await client.join(SALON)
        token = anon_key() if given == "KEY" else given
        await client.push(SALON, "access_token", {"access_token": token}, join_ref=joined)
        assert await client.is_silent()
        theirs = await other.join(SALON)
        await other.push(SALON, "broadcast", message("vu", 1), join_ref=theirs)

        assert (await client.receive())[3] == "broadcast"


async def test_sign_out_ends_the_channels_of_the_session_and_no_others(phoenix, ana, token_of):
    token = await sync_to_async(token_of)(ana)
    async with phoenix() as client:
        joined = await client.join(SALON, token=token)
        await client.join("realtime:anonymous")
        await sync_to_async(revoke_all)(user=ana)
        system, closed = await client.receive(), await client.receive()
        await asyncio.sleep(0.05)
        assert await client.is_silent()

    assert (system[3], system[4]["status"]) == ("system", "error")
    assert closed == [joined, joined, SALON, "phx_close", {}]
