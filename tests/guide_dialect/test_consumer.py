"""The guide's dialect: how clients opt in to more, and a socket that lives as long as its user's token."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from channels.testing import WebsocketCommunicator

from realtime import errors
from realtime.hub.rendering import EVERYTHING, OnlyTypes
from realtime.publishing import publish_now, publish_on_commit
from realtime.sockets.commands import Command
from realtime.testing import ANSWER_SECONDS, eventually
from realtime.topics import user_topic
from tests.realtime.sockets.talk import Quiet, Said, Somebody, Talk, Whispered, refused_with

# ── opting in ────────────────────────────────────────────────────────────────────────────────────────────


async def test_page_that_would_show_errors_is_only_closed(talk):
    async with talk("?refuse=1", kind=Quiet) as (socket, _):
        assert (await socket._communicator.receive_output(ANSWER_SECONDS))["type"] == "websocket.close"
    async with talk("?refuse=1&v=1", kind=Quiet) as (socket, _):
        assert await refused_with(socket) == ("not_found", 4404)


async def test_native_subprotocol_is_chosen(hub):
    communicator = WebsocketCommunicator(Talk.as_asgi(), "/ws/talk/", subprotocols=["other", "relais.v1"])
    communicator.scope["identity"] = Somebody()

    assert await communicator.connect() == (True, "relais.v1")
    assert Talk.seen[-1].v1
    await communicator.disconnect()


async def test_ping_is_answered_after_what_was_asked_before_it(talk):
    """A page may take the answer for the sign that the commands before it are done, as it always could."""
    async with talk() as (socket, consumer):
        slow = asyncio.Event()

        async def first(*_arguments: object) -> None:
            await slow.wait()
            consumer.push({"type": "done"})

        consumer.commands = {**consumer.commands, "slow": Command(dict, first)}
        await socket.send({"type": "slow"})
        await socket.send({"type": "ping"})
        assert await socket.receives_nothing()
        slow.set()

        assert [(await socket.receive())["type"] for _ in range(2)] == ["done", "pong"]


async def test_ping_is_answered_and_opts_in(talk):
    async with talk() as (socket, consumer):
        assert not consumer.v1
        await socket.send({"type": "ping", "ref": 3})
        pong = await socket.receive()

        assert (pong["type"], pong["ref"], pong["server_time"][-1]) == ("pong", 3, "Z")
        assert consumer.v1


async def test_opting_in_does_not_bring_back_what_was_taken_away(talk, monkeypatch):
    for_guides = OnlyTypes(frozenset({"whispered"}))
    monkeypatch.setattr(Talk, "rendering_of", lambda self, topic: EVERYTHING if self.v1 else for_guides)
    async with talk("?listen=1") as (socket, consumer), talk("?listen=1") as (other, _):
        consumer.subscription("talk.1").lose_access()
        assert await socket.receive() == {"type": "detached", "topic": "talk.1"}
        consumer.opt_in()
        publish_now("talk.1", Whispered(words="psst"))

        assert (await other.receive())["words"] == "psst"
        assert await socket.receives_nothing()


# ── limits ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_sockets_of_a_user_are_counted_and_not_their_topics(talk, settings):
    settings.RELAIS = {**settings.RELAIS, "limit_sockets_per_user": 2}
    async with talk("?listen=1") as (first, _), talk("?listen=1&v=1") as (second, _):
        async with talk() as (third, _):
            assert await refused_with(third) == ("rate_limited", 4429)
            async with talk() as (fourth, _):
                assert await refused_with(fourth) == ("rate_limited", 4429)
        async with talk(identity=Somebody(user_id=2)) as (other, _):
            await other.send({"type": "echo"})
            assert await other.receive() == {"type": "echo"}
        for socket in (first, second):
            await socket.send({"type": "echo"})
            assert await socket.receive() == {"type": "echo"}


async def test_refused_socket_that_stays_counts_no_more(talk, settings):
    settings.RELAIS = {**settings.RELAIS, "limit_sockets_per_user": 1}
    async with talk("?refuse=1") as (refused, _):
        assert await refused_with(refused) == ("not_found", 4404)  # the client does not close on its side
        async with talk() as (socket, _):
            await socket.send({"type": "echo"})
            assert await socket.receive() == {"type": "echo"}


async def test_zero_sockets_per_user_is_no_limit(talk, settings):
    settings.RELAIS = {**settings.RELAIS, "limit_sockets_per_user": 0}
    async with talk() as (_, _first), talk() as (_, _second), talk() as (socket, _):
        await socket.send({"type": "echo"})
        assert await socket.receive() == {"type": "echo"}


# ── the token ────────────────────────────────────────────────────────────────────────────────────────────


def answering(identity: Somebody) -> Callable[[str], Awaitable[Somebody]]:
    """A look-up of new tokens that finds this identity."""

    async def identify(_token: str) -> Somebody:
        return identity

    return identify


async def test_refreshed_socket_lives_as_long_as_the_new_token(talk):
    fresh = Somebody(expires_in=3600, session_id="new")
    async with talk(identity=Somebody(expires_in=60), identify=answering(fresh)) as (socket, consumer):
        await socket.send({"type": "auth.refresh", "token": "fresh", "ref": 1})
        assert await socket.receive() == {
            "type": "auth.refreshed",
            "ref": 1,
            "expires_at": int(fresh.expires_at),
        }
        assert consumer.access._ends_in - asyncio.get_running_loop().time() > 3500
        ending = consumer.hub.expiries._ending.values()
        assert [consumer.access in each for each in ending].count(True) == 1
        assert consumer.identity is fresh
        assert consumer.user is fresh.user  # later events change the user's name and sharing


@pytest.mark.parametrize(
    ("fresh", "code"),
    [(Somebody(user_id=2), "unauthenticated"), (Somebody(expires_in=-5), "token_expired")],
)
async def test_token_that_cannot_prolong_the_socket_changes_nothing(talk, tokens_age, fresh, code):
    old = Somebody(expires_in=60)
    async with talk(identity=old, identify=answering(fresh)) as (socket, consumer):
        await socket.send({"type": "auth.refresh", "token": "x", "ref": 1})
        told = await socket.receive()
        assert (told["code"], told["ref"]) == (code, 1)
        assert consumer.identity is old
        tokens_age(61)
        assert await refused_with(socket) == ("token_expired", 4401)


async def test_token_of_somebody_else_is_looked_up_once(talk, hub):
    """The position of their topic says nothing about ours: compared with ours it would look old for ever."""
    asked = []

    async def identify(token: str) -> Somebody:
        asked.append(token)
        return Somebody(user_id=2, authorized_at=0)

    async with talk(identify=identify) as (socket, consumer):
        await asyncio.to_thread(publish_on_commit, user_topic(1), Said(words="ours is ahead"))
        own = consumer.subscription(user_topic(1), consumer.access)
        await eventually(lambda: own.seq == 1)
        await socket.send({"type": "auth.refresh", "token": "theirs"})

        assert (await socket.receive())["code"] == "unauthenticated"
        assert asked == ["theirs"]


async def test_revocation_told_while_the_new_token_was_looked_up_is_not_missed(talk, hub):
    """The event found the socket with the old session; so the database is asked again."""
    answers = [Somebody(authorized_at=0, session_id="new"), errors.SessionRevokedError()]
    asked = []

    async def identify(token: str) -> Somebody:
        asked.append(token)
        answer = answers[len(asked) - 1]
        if isinstance(answer, Exception):
            raise answer
        await asyncio.to_thread(publish_on_commit, user_topic(1), Said(words="revoked meanwhile"))
        return answer

    async with talk(identify=identify) as (socket, consumer):
        await socket.send({"type": "auth.refresh", "token": "fresh"})
        told = await socket.receive()

        assert told["code"] == "session_revoked"
        assert asked == ["fresh", "fresh"]
        assert consumer.identity.session_id == "session"
