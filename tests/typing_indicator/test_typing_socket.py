"""The typing socket: typing is told to the others, coalesced, ends by itself, and never gets stuck."""

import asyncio
import threading

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings as django_settings

from accounts import services as accounts
from accounts import tokens
from chat import services
from chat.events import conversation_topic
from chat.services import Draft, send_messages
from contract.testing import contract
from realtime import log
from realtime.models import LoggedEvent
from realtime.testing import open_socket
from tests.factories import make_conversation
from typing_indicator import typists

TYPES, STOPS = {"is_typing": True}, {"is_typing": False}


def path(conversation, query="") -> str:
    return f"/ws/typing/{conversation.pk}/{query}"


def say(conversation, sender) -> None:
    send_messages([Draft(conversation.pk, sender, "Bonjour")])


def frame_of(user, conversation, *, is_typing: bool) -> dict[str, object]:
    return {
        "type": "typing",
        "username": user.username,
        "is_typing": is_typing,
        "user_id": user.pk,
        "conversation_id": conversation.pk,
        "expires_in_ms": 6000 if is_typing else 0,
    }


# ── who is told ──────────────────────────────────────────────────────────────────────────────────────────


async def test_others_are_told_who_types_and_the_typist_never(ana, bruno, conversation, connect):
    async with (
        connect(ana, path(conversation)) as typist,
        connect(ana, path(conversation)) as other_device,
        connect(bruno, path(conversation)) as other,
    ):
        await typist.send(TYPES)

        assert await other.receive() == frame_of(ana, conversation, is_typing=True)
        assert await typist.receives_nothing()
        assert await other_device.receives_nothing()


async def test_guides_fields_come_first(ana, bruno, conversation, connect):
    async with connect(ana, path(conversation)) as typist, connect(bruno, path(conversation)) as other:
        await typist.send(TYPES)

        assert list(await other.receive())[:3] == ["type", "username", "is_typing"]


async def test_other_conversations_are_not_told(ana, bruno, clara, conversation, connect):
    elsewhere = await sync_to_async(make_conversation)(ana, clara)
    async with (
        connect(ana, path(conversation)) as typist,
        connect(clara, path(elsewhere)) as outsider,
        connect(bruno, path(conversation)) as other,
    ):
        await typist.send(TYPES)

        assert (await other.receive())["is_typing"]
        assert await outsider.receives_nothing()


@pytest.mark.parametrize("query", ["", "?v=1", "?since=0"])
async def test_nothing_but_typing_is_told_here(ana, bruno, clara, group, connect, query):
    """The chat's events pass by on a socket beside it."""

    def happens() -> None:
        say(group, ana)
        services.rename_conversation(conversation_id=group.pk, by=ana, title="t")
        services.mark_read(user_id=clara.pk, conversation_id=group.pk, up_to_seq=1)
        say(group, ana)

    async with connect(bruno, path(group, query)) as socket, connect(bruno, f"/ws/chat/{group.pk}/") as chat:
        await sync_to_async(happens)()
        assert [(await chat.receive())["seq"] for _ in range(2)] == [1, 3]

        assert await socket.receives_nothing()


async def test_typing_is_not_kept(ana, bruno, conversation, connect):
    async with connect(ana, path(conversation)) as typist, connect(bruno, path(conversation)) as other:
        await typist.send(TYPES)
        await other.receive()

    assert not await LoggedEvent.objects.filter(topic__name__startswith="conversation.").aexists()


async def test_stranger_and_unknown_conversation_are_refused_alike(ana, bruno, clara, conversation, connect):
    """The frames that they send afterwards are told to nobody."""
    async with connect(ana, path(conversation)) as typist, connect(bruno, path(conversation)) as other:
        async with connect(clara, path(conversation)) as stranger:
            refusal = await stranger.receive_text()
            assert '"code":"not_a_participant"' in refusal
            assert await stranger.receive_close() == 4404
            await stranger.send(TYPES)
            await typist.send(TYPES)

            assert (await other.receive())["username"] == "ana"
            assert await other.receives_nothing()
            assert await stranger.receives_nothing()
        for name in ("999999", "abc", "0", "9" * 30):
            async with connect(clara, f"/ws/typing/{name}/") as lost:
                assert await lost.receive_text() == refusal
                assert await lost.receive_close() == 4404


# ── rate ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_keystrokes_are_one_event_in_three_seconds(ana, bruno, conversation, connect, clock, settings):
    """There are a hundred of them in half a minute, as the guide's page sends them."""
    settings.RELAIS = {**django_settings.RELAIS, "limit_frames": "off"}
    async with connect(ana, path(conversation)) as typist, connect(bruno, path(conversation)) as other:
        for _ in range(100):
            await typist.send(TYPES)
            await typist.send({"type": "ping", "ref": 1})
            await typist.receive()  # the frame is handled before the clock moves on
            clock.now += 0.3

        told = [await other.receive() for _ in range(10)]
        assert await other.receives_nothing()
    assert told == [frame_of(ana, conversation, is_typing=True)] * 10


async def test_hundred_keystrokes_at_once_are_one_event_and_no_error(ana, bruno, conversation, connect):
    async with connect(ana, path(conversation)) as typist, connect(bruno, path(conversation)) as other:
        for _ in range(100):
            await typist.send(TYPES)

        assert (await other.receive())["is_typing"]
        assert await other.receives_nothing()
        assert await typist.receives_nothing()


async def test_excess_is_dropped_without_a_word(ana, bruno, conversation, connect, settings):
    """This holds also for a client that alternates, where each frame is news."""
    settings.RELAIS = {**django_settings.RELAIS, "limit_typing": "1/min:4"}
    async with connect(ana, path(conversation)) as typist, connect(bruno, path(conversation)) as other:
        for _ in range(20):
            await typist.send(TYPES)
            await typist.send(STOPS)

        assert [(await other.receive())["is_typing"] for _ in range(4)] == [True, False, True, False]
        assert await other.receives_nothing()
        assert await typist.receives_nothing()


async def test_flood_of_typing_frames_is_closed_like_any_other(ana, bruno, conversation, connect, settings):
    settings.RELAIS = {**django_settings.RELAIS, "limit_frames": "1/min:5"}
    async with connect(ana, path(conversation)) as typist, connect(bruno, path(conversation)) as other:
        for _ in range(410):
            await typist.send(TYPES)

        assert await typist.receive_close() == 4429
        assert (await other.receive())["is_typing"]


# ── how it ends ──────────────────────────────────────────────────────────────────────────────────────────


async def test_typing_expires_by_itself(ana, bruno, conversation, connect, monkeypatch):
    """No `false` ever comes: the typist's process may be dead."""
    monkeypatch.setattr(typists, "TYPING_TTL_SECONDS", 0.05)
    async with connect(ana, path(conversation)) as typist, connect(bruno, path(conversation)) as other:
        await typist.send(TYPES)

        assert (await other.receive())["is_typing"]
        assert await other.receive() == frame_of(ana, conversation, is_typing=False)
        assert await other.receives_nothing()


async def test_typing_again_restarts_the_time(ana, bruno, conversation, connect, clock):
    async with connect(ana, path(conversation)) as typist, connect(bruno, path(conversation)) as other:
        await typist.send(TYPES)
        await other.receive()
        [first] = [known.expiry for key, known in typists._typists.items() if key[2] == ana.pk]
        clock.now += 3
        await typist.send(TYPES)
        await other.receive()
        [second] = [known.expiry for key, known in typists._typists.items() if key[2] == ana.pk]

    assert first.cancelled()
    assert second.when() > first.when()


async def test_leaving_the_field_ends_typing_once(ana, bruno, conversation, connect):
    async with connect(ana, path(conversation)) as typist, connect(bruno, path(conversation)) as other:
        await typist.send(TYPES)
        assert (await other.receive())["is_typing"]
        await typist.send(STOPS)
        await typist.send(STOPS)

        assert await other.receive() == frame_of(ana, conversation, is_typing=False)
        assert await other.receives_nothing()


async def test_client_that_has_not_typed_tells_no_stop(ana, bruno, conversation, connect, clock):
    async with connect(ana, path(conversation)) as typist, connect(bruno, path(conversation)) as other:
        await typist.send(STOPS)
        assert await other.receives_nothing()

        await typist.send(TYPES)
        await other.receive()
        clock.now += 6  # typing is over by itself, everywhere
        await typist.send(STOPS)
        assert await other.receives_nothing()


async def test_disconnecting_ends_typing(ana, bruno, conversation, connect):
    async with connect(bruno, path(conversation)) as other:
        async with connect(ana, path(conversation)) as typist:
            await typist.send(TYPES)
            assert (await other.receive())["is_typing"]

        assert await other.receive() == frame_of(ana, conversation, is_typing=False)


async def test_disconnecting_without_having_typed_tells_nothing(ana, bruno, conversation, connect, clock):
    async with connect(bruno, path(conversation)) as other:
        async with connect(ana, path(conversation)):
            pass
        async with connect(ana, path(conversation)) as typist:
            await typist.send(TYPES)
            await other.receive()
            clock.now += 6

        assert await other.receives_nothing()


async def test_other_device_that_disconnects_ends_nothing(ana, bruno, conversation, connect):
    async with connect(ana, path(conversation)) as typist, connect(bruno, path(conversation)) as other:
        async with connect(ana, path(conversation)):
            await typist.send(TYPES)
            assert (await other.receive())["is_typing"]

        assert await other.receives_nothing()


@pytest.mark.parametrize("door", ["socket", "service"])
async def test_sending_ends_typing_and_typing_again_is_told_at_once(ana, bruno, conversation, connect, door):
    async with (
        connect(ana, path(conversation)) as typist,
        connect(ana, f"/ws/chat/{conversation.pk}/") as chat,
        connect(bruno, path(conversation)) as other,
    ):
        await typist.send(TYPES)
        assert (await other.receive())["is_typing"]
        if door == "socket":
            await chat.send({"message": "Bonjour"})
        else:
            await sync_to_async(say)(conversation, ana)
        await chat.receive()

        assert await other.receive() == frame_of(ana, conversation, is_typing=False)
        await typist.send(TYPES)
        assert await other.receive() == frame_of(ana, conversation, is_typing=True)


async def test_sending_without_having_typed_tells_nothing(ana, bruno, conversation, connect):
    async with connect(ana, path(conversation)), connect(bruno, path(conversation)) as other:
        await sync_to_async(say)(conversation, ana)

        assert await other.receives_nothing()


async def test_message_of_another_ends_nobodys_typing(ana, bruno, clara, group, connect):
    async with connect(ana, path(group)) as typist, connect(clara, path(group)) as other:
        await typist.send(TYPES)
        assert (await other.receive())["is_typing"]
        await sync_to_async(say)(group, bruno)

        assert await other.receives_nothing()


async def test_message_that_somebody_reads_later_in_the_log_ends_nobodys_typing(
    ana, bruno, clara, group, connect, monkeypatch
):
    """Clara catches up, slowly, with Ana's message; Ana has begun to type the next one."""
    await sync_to_async(say)(group, ana)
    may_read, replay = threading.Event(), log.replay

    def replay_slowly(name, **page):
        if name == conversation_topic(group.pk):
            may_read.wait(10)
        return replay(name, **page)

    monkeypatch.setattr(log, "replay", replay_slowly)
    async with (
        connect(ana, path(group)) as typist,
        connect(bruno, path(group)) as other,
        connect(clara, f"/ws/chat/{group.pk}/?since=0") as chat,
    ):
        await sync_to_async(say)(group, ana)
        await typist.send(TYPES)
        assert (await other.receive())["is_typing"]
        may_read.set()
        assert [(await chat.receive_until("message"))["seq"] for _ in range(2)] == [1, 2]

        assert await other.receives_nothing()


async def test_typist_who_reconnects_is_told_anew_at_once(ana, bruno, conversation, connect):
    async with connect(bruno, path(conversation)) as other:
        for _ in range(2):
            async with connect(ana, path(conversation)) as typist:
                await typist.send(TYPES)
                assert (await other.receive())["is_typing"]
            assert not (await other.receive())["is_typing"]


async def test_listener_who_reconnects_is_told_the_next_time(ana, bruno, conversation, connect, clock):
    async with connect(ana, path(conversation)) as typist:
        async with connect(bruno, path(conversation)) as other:
            await typist.send(TYPES)
            await other.receive()
        async with connect(bruno, path(conversation)) as again:
            assert await again.receives_nothing()
            clock.now += 3
            await typist.send(TYPES)
            assert (await again.receive())["is_typing"]


async def test_expiry_with_nobody_left_to_tell_is_no_incident(
    ana, bruno, conversation, connect, monkeypatch, caplog
):
    monkeypatch.setattr(typists, "TYPING_TTL_SECONDS", 0.05)
    over = asyncio.Event()
    stop = typists._stop

    def stop_and_tell(*arguments) -> None:
        stop(*arguments)
        over.set()

    monkeypatch.setattr(typists, "_stop", stop_and_tell)
    async with connect(ana, path(conversation)) as typist:
        async with connect(bruno, path(conversation)) as other:
            await typist.send(TYPES)
            await other.receive()
        async with asyncio.timeout(5):
            await over.wait()

    assert not [record for record in caplog.records if record.levelname == "ERROR"]


# ── whose access ends ────────────────────────────────────────────────────────────────────────────────────


async def test_removed_member_stops_and_types_no_more(ana, bruno, clara, group, connect):
    async with connect(bruno, path(group)) as removed, connect(clara, path(group)) as other:
        await removed.send(TYPES)
        assert (await other.receive())["username"] == "bruno"
        await sync_to_async(services.remove_member)(conversation_id=group.pk, by=ana, user_id=bruno.pk)
        assert (await removed.receive())["code"] == "not_a_participant"
        assert await removed.receive_close() == 4404

        for frame in (STOPS, TYPES):
            await removed.send(frame)
        assert await other.receives_nothing()
    async with connect(bruno, path(group)) as back, connect(clara, path(group)) as other:
        assert await back.receive_close() == 4404
        await back.send(TYPES)
        assert await other.receives_nothing()


async def test_signing_out_closes_the_socket_and_ends_the_typing(ana, bruno, conversation, connect):
    token = (await sync_to_async(tokens.issue)(ana))["access"]
    async with connect(bruno, path(conversation)) as other:
        async with open_socket(path(conversation), token=token) as typist:
            await typist.send(TYPES)
            assert (await other.receive())["is_typing"]
            await sync_to_async(accounts.sign_out)(access_token=token)
            assert await typist.receive_close() == 4401

        assert not (await other.receive())["is_typing"]


# ── bad input ────────────────────────────────────────────────────────────────────────────────────────────


BAD_TEXTS = {
    "{}": "invalid_frame",
    '{"is_typing":null}': "invalid_frame",
    '{"is_typing":"true"}': "invalid_frame",
    '{"is_typing":1}': "invalid_frame",
    '{"is_typing":[true]}': "invalid_frame",
    '{"message":"Bonjour"}': "invalid_frame",
    "[true]": "invalid_json",
    "true": "invalid_json",
    '{"is_typing":NaN}': "invalid_json",
    "[" * 10_000: "invalid_json",
    '{"is_typing":true,"a":' + "9" * 5000 + "}": "invalid_json",
}


def test_frame_that_is_wrong_in_shape_is_outside_of_the_contract():
    conversation = contract().conversation("/ws/typing/1/")

    assert [text for text in BAD_TEXTS if conversation.said(text) is None] == []


async def test_unusable_frame_is_answered_by_name_and_the_socket_lives(ana, bruno, conversation, connect):
    async with connect(ana, path(conversation)) as typist, connect(bruno, path(conversation)) as other:
        for text, code in BAD_TEXTS.items():
            await typist.send_text(text)
            assert (await typist.receive())["code"] == code, text[:40]
        await typist.send_bytes(b'{"is_typing":true}')
        assert (await typist.receive())["code"] == "invalid_json"
        assert await other.receives_nothing()

        await typist.send({**TYPES, "type": "typing", "extra": 1})
        assert (await other.receive())["is_typing"]
