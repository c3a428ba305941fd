"""One connection from accept to its end: how it is refused, what it obeys, and what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import logging
import time
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator

from guide_dialect.dialect import GuideDialect
from realtime import errors
from realtime.database.threads import run_in_thread
from realtime.hub.audience import Audience
from realtime.hub.hub import DRAIN_STEP_SECONDS, Hub
from realtime.hub.subscription import Subscription
from realtime.publishing import publish_now, publish_on_commit
from realtime.sockets import connection as connections
from realtime.sockets.commands import Command
from realtime.sockets.connection import Connection
from realtime.sockets.dialect import Request
from realtime.testing import ANSWER_SECONDS, TestSocket, eventually
from realtime.topics import user_topic
from realtime.wire import outbox, wire
from tests.factories import make_conversation
from tests.realtime.listeners import settle
from tests.realtime.sockets.talk import Said, Somebody, Talk, Whispered, error_frame, refused_with

# ── before and after accept ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("scope", "told"),
    [
        ({"identity": None}, ("unauthenticated", 4401)),
        ({"identity": None, "auth_error": errors.TokenExpiredError()}, ("token_expired", 4401)),
        ({"auth_error": errors.AccountDisabledError()}, ("account_disabled", 4403)),
        ({"auth_error": errors.UnavailableError()}, ("unavailable", 4503)),
        ({"auth_error": errors.RealtimeError()}, ("internal_error", 4500)),
        ({"identity": Somebody(expires_in=-1)}, ("token_expired", 4401)),
        ({"identity": Somebody(expires_in=-(10**9))}, ("token_expired", 4401)),
    ],
)
async def test_stranger_is_accepted_told_why_and_closed(talk, scope, told):
    async with talk(**scope) as (socket, consumer):
        assert await refused_with(socket) == told
        assert consumer is None  # authorize() never ran


async def test_stranger_commands_nothing_and_leaves_no_trace(talk, monkeypatch):
    handled = []

    async def on_request(self: Talk, request: Request) -> None:
        handled.append(request.fields)

    async def leave(self: Talk) -> None:
        left.append(self)

    left: list[Talk] = []
    monkeypatch.setattr(Talk, "on_request", on_request)
    monkeypatch.setattr(Talk, "left", leave)
    identified = []
    async with talk(identity=None, identify=identified.append) as (socket, _):
        for frame in ({"type": "echo"}, {"type": "ping"}, {"type": "auth.refresh", "token": "x"}):
            await socket.send(frame)

        assert await refused_with(socket) == ("unauthenticated", 4401)
        assert await socket.receives_nothing()

    assert (handled, left, identified) == ([], [], [])


@pytest.mark.parametrize(
    ("query", "told"), [("?refuse=1", ("not_found", 4404)), ("?fail=1", ("internal_error", 4500))]
)
async def test_refusal_of_the_consumer_is_told_and_tidied_up(talk, query, told):
    async with talk(query) as (socket, consumer):
        assert await refused_with(socket) == told
        await socket.send({"type": "echo"})
        assert await socket.receives_nothing()

    assert (consumer.handled, consumer.times_left) == ([], 1)


async def test_our_own_fault_is_logged_with_the_socket_and_not_told(talk, caplog):
    async with talk("?fail=1") as (socket, consumer):
        frame = await socket.receive()

    assert frame == error_frame(errors.RealtimeError())
    [record] = [record for record in caplog.records if record.name == "realtime.sockets.connection"]
    assert record.exc_info[0] is ZeroDivisionError
    assert (record.socket_id, record.user_id, record.socket_path) == (consumer.socket_id, 1, "/ws/talk/")


async def test_stopping_server_sends_new_sockets_away(talk, hub):
    hub.is_draining = True
    async with talk() as (socket, consumer):
        assert await refused_with(socket) == ("restarting", 1012)
        assert consumer is None


async def test_connection_that_was_never_one_is_let_go():
    consumer = Talk()

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.disconnect"}

    await consumer({"path": "/ws/talk/", "query_string": b""}, receive, None)
    assert Talk.seen == []
    await Hub.current().stop()


# ── commands ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_command_that_fails_is_answered_and_the_socket_lives(talk):
    async with talk() as (socket, _):
        await socket.send({"type": "mistake", "ref": 7})
        assert await socket.receive() == error_frame(errors.NotAllowedError(), ref=7)
        await socket.send({"type": "retry"})
        assert await socket.receive() == error_frame(errors.UnavailableError(retry_after_ms=1000))
        await socket.send({"type": "unheard of", "ref": "a"})
        assert (await socket.receive())["code"] == "invalid_frame"
        await socket.send_text("{")
        assert (await socket.receive())["code"] == "invalid_json"
        await socket.send_bytes(b"{}")
        assert (await socket.receive())["code"] == "invalid_json"
        await socket.send({"type": "database", "value": 5})
        assert await socket.receive() == {"type": "answer", "value": 5}


async def test_flaw_that_a_dialect_found_is_the_answer_of_every_connection(hub):
    obeyed = []

    class Flawed(GuideDialect):
        def read(self, payload: Any) -> Request:
            return Request(
                "do", {}, ref="r", flaw=errors.InvalidFrameError("flawed") if payload == "bad" else None
            )

    class Plain(Connection):
        dialect = Flawed(is_v1=True)
        commands = {"do": Command(dict, lambda socket, fields, ref: obeyed.append(ref))}

    communicator = WebsocketCommunicator(Plain.as_asgi(), "/")
    await communicator.connect(ANSWER_SECONDS)
    socket = TestSocket(communicator, None)
    await socket.send_text("bad")
    told = await socket.receive()
    await socket.send_text("good")
    await eventually(lambda: obeyed)
    await communicator.disconnect()

    assert (told["code"], told["message"], told["ref"]) == ("invalid_frame", "flawed", "r")
    assert obeyed == ["r"]


def test_consumer_that_would_replace_a_part_of_the_connection_is_told_so():
    with pytest.raises(TypeError, match="Careless would replace _open of Connection"):
        type(
            "Careless", (Connection,), {"_open": print, "_close_to_it": print, "on_open": Connection.on_open}
        )


async def test_bug_closes_this_socket_and_no_other(talk, caplog):
    async with talk() as (socket, _), talk(identity=Somebody(user_id=2)) as (other, _):
        await socket.send({"type": "bug"})
        assert await refused_with(socket) == ("internal_error", 4500)
        await other.send({"type": "echo"})
        assert await other.receive() == {"type": "echo"}

    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]


async def test_frames_of_a_refused_socket_are_not_obeyed(talk):
    async with talk() as (socket, consumer):
        for kind in ("refuse", "echo", "ping", "bug"):
            await socket.send({"type": kind, "ref": 1})

        assert await refused_with(socket) == ("not_found", 4404)
        assert await socket.receives_nothing()
        assert [frame["type"] for frame in consumer.handled] == ["refuse"]


async def test_refused_socket_hears_nothing(talk, hub):
    async with talk("?listen=1") as (socket, consumer), talk("?listen=1") as (other, _):
        await socket.send({"type": "refuse"})
        assert await refused_with(socket) == ("not_found", 4404)
        consumer.join("talk.1")
        publish_now("talk.1", Whispered(words="psst"))

        assert (await other.receive())["words"] == "psst"
        assert await socket.receives_nothing()
        assert len(hub.audience("talk.1").subscriptions()) == 1


async def test_too_many_mistakes_close_the_socket_and_failures_of_ours_do_not(talk, settings):
    settings.RELAIS = {**settings.RELAIS, "limit_mistakes": "1/min:3"}
    async with talk() as (socket, _):
        for command, code in [("retry", "unavailable"), ("fault", "internal_error")] * 5:
            await socket.send({"type": command})
            assert (await socket.receive())["code"] == code
        for _ in range(4):
            await socket.send({"type": "mistake"})
            assert (await socket.receive())["code"] == "not_allowed"
        assert await refused_with(socket) == ("too_many_errors", 4400)


async def test_flood_is_slowed_down_and_then_closed(talk, settings, monkeypatch):
    monkeypatch.setattr(connections, "MAX_FLOOD", 5)
    settings.RELAIS = {**settings.RELAIS, "limit_frames": "1/h:2"}
    async with talk() as (socket, consumer):
        for _ in range(12):
            await socket.send({"type": "echo"})
        told = [await socket.receive() for _ in range(7)]
        assert await socket.receive_close() == 4429

    assert [frame["type"] for frame in told] == ["echo", "echo"] + ["error"] * 5
    assert {frame["code"] for frame in told[2:]} == {"rate_limited"}
    assert told[2]["retry_after_ms"] > 1000
    assert len(consumer.handled) == 2


async def test_flood_is_closed_though_the_rate_grants_a_frame_now_and_then(talk, monkeypatch):
    """At 5,000 frames a second every hundredth is granted; that must not forgive the ninety-nine."""
    monkeypatch.setattr(connections, "MAX_FLOOD", 5)
    waits = itertools.cycle([0.0, 1.0, 1.0])
    async with talk() as (socket, consumer):
        consumer._frame_bucket = SimpleNamespace(wait=lambda rate, now: next(waits))
        for _ in range(12):
            await socket.send({"type": "echo"})

        assert await socket.receive_close() == 4429
    assert len(consumer.handled) == 4


async def test_socket_refused_now_and_then_is_not_closed(talk, monkeypatch):
    monkeypatch.setattr(connections, "MAX_FLOOD", 5)
    waits = itertools.cycle([0.0, 1.0])
    async with talk() as (socket, consumer):
        consumer._frame_bucket = SimpleNamespace(wait=lambda rate, now: next(waits))
        for _ in range(40):
            await socket.send({"type": "echo"})
            await socket.receive()

        assert await socket.receives_nothing()


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ('{"type":"echo","x":"' + "a" * 78 + '"}', True),  # 100 bytes
        ('{"type":"echo","x":"' + "a" * 79 + '"}', False),
        ('{"type":"echo","x":"' + "é" * 39 + '"}', True),
        ('{"type":"echo","x":"' + "é" * 40 + '"}', False),  # 62 characters, 102 bytes
    ],
)
async def test_size_is_counted_in_bytes(talk, settings, text, fits):
    settings.RELAIS = {**settings.RELAIS, "limit_message_bytes": 100}
    async with talk() as (socket, _):
        await socket.send_text(text)
        if fits:
            assert await socket.receive() == json.loads(text)
        else:
            assert await refused_with(socket) == ("too_big", 1009)


async def test_large_binary_message_is_too_big_too(talk, settings):
    settings.RELAIS = {**settings.RELAIS, "limit_message_bytes": 100}
    async with talk() as (socket, _):
        await socket.send_bytes(b"x" * 101)
        assert await refused_with(socket) == ("too_big", 1009)


async def test_failure_of_work_beside_the_socket_is_the_sockets(talk, caplog):
    async with talk() as (socket, _):
        await socket.send({"type": "beside", "what": "error"})
        assert await socket.receive() == error_frame(errors.UnavailableError())
        await socket.send({"type": "beside", "what": "bug"})
        assert await refused_with(socket) == ("internal_error", 4500)

    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]


# ── listening ────────────────────────────────────────────────────────────────────────────────────────────


def store(count: int) -> None:
    for number in range(count):
        publish_on_commit("talk.1", Said(words=str(number)))


@pytest.mark.parametrize(("position", "replayed"), [(3, []), (1, [2, 3]), (0, [1, 2, 3])])
async def test_socket_is_told_what_it_missed_then_that_it_is_live_then_the_rest(talk, position, replayed):
    await sync_to_async(store)(3)
    async with talk(f"?position={position}&head=3") as (socket, _):
        assert [(await socket.receive())["seq"] for _ in replayed] == replayed
        assert await socket.receive() == {"type": "live", "seq": 3}
        await run_in_thread(store, 2)

        assert [(await socket.receive())["seq"] for _ in range(2)] == [4, 5]


async def test_joining_again_replaces_the_first_time(talk, hub):
    await sync_to_async(store)(3)
    async with talk("?position=3") as (socket, _):
        assert await socket.receive() == {"type": "live", "seq": 3}
        await socket.send({"type": "rejoin", "position": 1})
        assert [(await socket.receive())["seq"] for _ in range(2)] == [2, 3]
        assert await socket.receive() == {"type": "live", "seq": 3}
        await run_in_thread(store, 1)

        assert (await socket.receive())["seq"] == 4
        assert await socket.receives_nothing()
        assert len(hub.audience("talk.1").subscriptions()) == 1
    assert hub.audience("talk.1") is None


async def test_event_told_before_the_restart_is_not_lost_by_it(talk, hub):
    async with talk("?listen=1") as (socket, _):
        for number in range(5):  # a busy topic: these are joined before they are written
            publish_now("talk.1", Whispered(words=str(number)))
        hub.is_draining = True
        for open_socket in list(hub.sockets):
            open_socket.restart()

        assert [(await socket.receive())["words"] for _ in range(5)] == list("01234")
        assert await socket.receive_close() == 1012


# ── the token ────────────────────────────────────────────────────────────────────────────────────────────


async def test_socket_ends_with_its_token(talk, tokens_age):
    async with talk(identity=Somebody(expires_in=60)) as (socket, _):
        await socket.send({"type": "echo"})
        assert await socket.receive() == {"type": "echo"}
        tokens_age(61)
        assert await refused_with(socket) == ("token_expired", 4401)


async def test_token_of_the_far_future_is_no_timer_too_long(talk):
    async with talk(identity=Somebody(expires_in=253_402_300_799 - time.time())) as (socket, consumer):
        await socket.send({"type": "echo"})
        assert await socket.receive() == {"type": "echo"}
        assert consumer.access._ends_in - asyncio.get_running_loop().time() > 7_000 * 365 * 86_400


async def test_clock_that_jumps_ends_nothing_early(talk, monkeypatch):
    async with talk(identity=Somebody(expires_in=100)) as (socket, _):
        monkeypatch.setattr(time, "time", lambda now=time.time: now() + 3600)
        await socket.send({"type": "echo"})

        assert await socket.receive() == {"type": "echo"}
        assert await socket.receives_nothing()


# ── the end ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_hook_left_runs_once_whatever_it_does(talk, caplog, hub):
    async with talk("?listen=1&stumble=1") as (_, consumer):
        pass

    assert consumer.times_left == 1
    assert "A socket could not clean up" in caplog.messages
    assert (hub.sockets, hub.audience("talk.1"), hub.audience(user_topic(1))) == (set(), None, None)


async def test_server_that_cancels_a_socket_says_that_it_restarts(hub):
    communicator = WebsocketCommunicator(Talk.as_asgi(), "/ws/talk/?listen=1")
    communicator.scope["identity"] = Somebody()
    await communicator.connect()

    communicator.future.cancel()
    with pytest.raises(asyncio.CancelledError):
        await communicator.future

    assert await communicator.output_queue.get() == {"type": "websocket.close", "code": 1012}
    assert Talk.seen[-1].times_left == 1
    assert hub.sockets == set()


async def test_socket_that_is_cancelled_before_it_was_accepted_ends(hub, monkeypatch):
    async def speak_and_wait(self: Talk) -> None:
        Talk.seen.append(self)
        self.times_left = 0
        self.push({"type": "early"})
        await asyncio.Event().wait()

    monkeypatch.setattr(Talk, "authorize", speak_and_wait)
    communicator = WebsocketCommunicator(Talk.as_asgi(), "/ws/talk/")
    communicator.scope["identity"] = Somebody()
    await communicator.send_input({"type": "websocket.connect"})
    await eventually(lambda: Talk.seen)

    communicator.future.cancel()
    done, _ = await asyncio.wait([communicator.future], timeout=2)

    assert done
    assert hub.sockets == set()


async def test_draining_closes_every_socket_with_a_time_to_come_back(talk, hub):
    async with talk() as (guide, _), talk("?v=1") as (native, _):
        draining = asyncio.ensure_future(hub.drain(seconds=60))
        frame = await native.receive()

        assert frame["code"] == "restarting"
        assert 200 <= frame["retry_after_ms"] < 1400
        assert await native.receive_close() == 1012
        assert (await guide._communicator.receive_output(ANSWER_SECONDS))["code"] == 1012
        for socket in (guide, native):
            await socket._communicator.send_input({"type": "websocket.disconnect"})
        await asyncio.wait_for(draining, ANSWER_SECONDS)  # long before it would give up


async def test_draining_closes_many_sockets_a_few_at_a_time(hub):
    closed: list[float] = []

    class Open:
        def restart(self) -> None:
            closed.append(asyncio.get_running_loop().time())
            hub.sockets.discard(self)

    hub.sockets.update(Open() for _ in range(1000))
    asked = asyncio.get_running_loop().time()
    # A second caller waits for the same drain.
    await asyncio.gather(hub.drain(seconds=1), hub.drain(seconds=1))

    assert len(closed) == 1000
    at = [round((moment - asked) / DRAIN_STEP_SECONDS) for moment in closed]
    assert max(at.count(step) for step in at) <= 200  # 100 of them a step, and a busy machine may join two
    assert closed[-1] - closed[0] > 0.4


@pytest.mark.parametrize("takes", [{"websocket.accept"}, {"websocket.accept", "websocket.close"}])
async def test_slow_socket_leaves_although_its_server_never_says_that_the_peer_is_gone(
    hub, settings, monkeypatch, takes
):
    """As on a server without our adapter: writes wait for the peer, and the news of its end never comes."""
    settings.RELAIS = {**settings.RELAIS, "write_timeout_seconds": 0.05}
    for module in (outbox, wire):
        monkeypatch.setattr(module, "ABORT_SECONDS", 0.05)
    told = [{"type": "websocket.connect"}]

    async def receive() -> dict[str, Any]:
        if not told:
            await asyncio.Event().wait()
        return told.pop()

    async def send(message: dict[str, Any]) -> None:
        if message["type"] not in takes:
            await asyncio.Event().wait()

    scope = {"type": "websocket", "path": "/ws/talk/", "query_string": b"listen=1", "identity": Somebody()}
    course = asyncio.create_task(Talk.as_asgi()(scope, receive, send))
    await eventually(lambda: hub.sockets)
    Talk.seen[-1].push({"type": "news"})

    # It ends by itself: a server logs a cancelled application as a failure.
    await asyncio.wait_for(course, ANSWER_SECONDS)

    assert not hub.sockets
    assert Talk.seen[-1].times_left == 1


async def test_log_lines_are_about_their_own_socket(talk, settings, monkeypatch):
    """Any code may push; the line about the slow socket must not carry the ids of the code that pushed."""
    lines: list[dict[str, Any]] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(
                structlog.contextvars.get_contextvars()
                | {name: value for name, value in vars(record).items() if name.endswith("_id")}
            )

    handler = Keep()
    logging.getLogger("realtime.sockets.connection").addHandler(handler)
    try:
        async with talk("?listen=1", identity=Somebody(user_id=5)) as (_, consumer):

            async def send() -> None:
                structlog.contextvars.bind_contextvars(socket_id="the sender's", user_id=99)
                consumer._too_slow()

            await asyncio.create_task(send())
    finally:
        logging.getLogger("realtime.sockets.connection").removeHandler(handler)

    assert (lines[0]["socket_id"], lines[0]["user_id"]) == (consumer.socket_id, 5)


async def test_ids_of_one_socket_are_not_bound_in_another(talk):
    seen: list[dict[str, Any]] = []

    async def on_request(self: Talk, request: Request) -> None:
        seen.append(dict(structlog.contextvars.get_contextvars()))
        seen.append(await self.run(lambda: dict(structlog.contextvars.get_contextvars())))
        self.push({"type": "done"})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Talk, "on_request", on_request)
        async with (
            talk(identity=Somebody(user_id=1)) as (first, one),
            talk(identity=Somebody(user_id=2)) as (second, two),
        ):
            for socket in (first, second, first):
                await socket.send({})
                await socket.receive()

    def ids(consumer: Talk) -> dict[str, Any]:
        return {"socket_id": consumer.socket_id, "user_id": consumer.user_id}

    assert seen == [ids(one)] * 2 + [ids(two)] * 2 + [ids(one)] * 2
    assert structlog.contextvars.get_contextvars() == {}


# ── through the whole application ────────────────────────────────────────────────────────────────────────


async def test_two_hundred_sockets_leave_nothing_behind(ana, bruno, connect, hub, settings):
    settings.RELAIS = {**settings.RELAIS, "limit_sockets_per_user": 0, "limit_sends": "off"}
    conversation = await sync_to_async(make_conversation)(ana, bruno)
    path = f"/ws/chat/{conversation.pk}/"
    async with connect(ana, path) as warm:  # makes what is made once and kept
        await warm.send({"message": "first"})
        await warm.receive()
    await eventually(lambda: not hub.sockets)
    await settle()
    gc.collect()
    before, tasks = living(), len(asyncio.all_tasks())
    seen: weakref.WeakSet[Any] = weakref.WeakSet()
    typing = f"/ws/typing/{conversation.pk}/"
    paths = [path, f"{path}?v=1", f"{path}?since=0", "/ws/notifications/", typing]

    for _ in range(5):
        people = [(ana if number % 2 else bruno, paths[number % 5]) for number in range(40)]
        async with _all_of([connect(user, where) for user, where in people]) as opened:
            seen.update(hub.sockets)
            await opened[0].send({"message": "hello"})
            for number in (0, 5, 10):
                await opened[number].receive_until("message")
        await eventually(lambda: not hub.sockets)

    await settle()
    await eventually(lambda: len(asyncio.all_tasks()) <= tasks)
    await eventually(lambda: gc.collect() >= 0 and not list(seen))
    assert (hub._audiences, hub.sockets) == ({}, set())
    assert living() <= before
    timers = [handle for handle in hub.loop._scheduled if not handle.cancelled()]
    # Tasks of the hub itself: the looks at the loop and at garbage, a sign of life through Redis, the pings
    # of `/ws/`, the reader of changes.
    assert len(timers) <= 10


def living() -> int:
    """The number of our objects in memory; tests that failed before may hold on to some."""
    return sum(isinstance(thing, (Connection, Subscription, Audience)) for thing in gc.get_objects())


@asynccontextmanager
async def _all_of(contexts: list[Any]) -> AsyncIterator[list[TestSocket]]:
    entered = await asyncio.gather(*(context.__aenter__() for context in contexts))
    try:
        yield list(entered)
    finally:
        await asyncio.gather(*(context.__aexit__(None, None, None) for context in contexts))
