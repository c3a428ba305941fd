"""Tally in this process, on the product's application: what a dialect may do differently from ours."""

from __future__ import annotations

import ast
import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from asgiref.sync import sync_to_async

from accounts import services
from accounts.models import User
from accounts.tokens import access_token
from config import asgi
from realtime.hub.hub import Hub
from realtime.testing import eventually, open_socket, refusal_of
from realtime.topics import user_topic
from realtime.wire import sizes
from tests.foreign import tally
from tests.foreign.clients import PATH, Client
from tests.foreign.routing import websocket_urlpatterns

TOPIC = "tally.shop"
Connect = Callable[[], Any]

put = sync_to_async(tally.put)
token_of = sync_to_async(access_token)
sign_out = sync_to_async(services.sign_out)


@pytest.fixture(autouse=True)
def _route(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi.sockets, "routes", [*websocket_urlpatterns, *asgi.sockets.routes])
    monkeypatch.setattr(sizes, "_table", list(sizes._table))
    sizes.declare(websocket_urlpatterns, sizes.foreign)


@pytest.fixture
def connect(hub: Hub) -> Connect:
    @asynccontextmanager
    async def connected() -> AsyncIterator[Client]:
        async with open_socket(PATH, subprotocols=["other", tally.SUBPROTOCOL]) as socket:
            assert socket.subprotocol == tally.SUBPROTOCOL
            yield Client(socket.send_bytes, socket.receive_bytes)

    return connected


@pytest.fixture
async def socket(connect: Connect) -> AsyncIterator[Client]:
    async with connect() as client:
        yield client


@pytest.fixture
async def ana_s(ana: User) -> str:
    return await token_of(ana)


@pytest.fixture
async def bruno_s(bruno: User) -> str:
    return await token_of(bruno)


def test_dialect_needs_nothing_of_ours_but_the_door() -> None:
    tree = ast.parse(Path(tally.__file__).read_text())
    found = {each.module for each in ast.walk(tree) if isinstance(each, ast.ImportFrom)}
    found |= {name.name for each in ast.walk(tree) if isinstance(each, ast.Import) for name in each.names}

    own = {name for name in found if name and name.partition(".")[0] not in sys.stdlib_module_names}
    assert own == {"realtime", "msgspec"}


# ── frames and refusals ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("offered", [[], ["tally.0"]])
async def test_handshake_without_the_subprotocol_is_refused_before_accept(hub, offered) -> None:
    refusal = await refusal_of(PATH, subprotocols=offered)

    assert refusal.status == 426
    assert dict(refusal.headers)[b"content-type"] == b"application/vnd.msgpack"
    assert dict(refusal.headers)[b"tally-versions"] == b"tally.1"
    code, _, wait = msgspec.msgpack.decode(refusal.body)
    assert (code, wait) == ("upgrade_required", None)


async def test_server_that_stops_refuses_before_accept_with_a_time_to_come_back(hub) -> None:
    await hub.drain(seconds=0)

    refusal = await refusal_of(PATH, subprotocols=[tally.SUBPROTOCOL])

    code, _, wait = msgspec.msgpack.decode(refusal.body)
    assert (refusal.status, code) == (503, "restarting")
    assert wait > 0


@pytest.mark.parametrize(
    "frame",
    [b"", b"\xc1", b"\x91\xa4beat", b"\x80", b"\x91" * 100_000, msgspec.msgpack.encode(["beat", None])],
    ids=["empty", "no MessagePack", "no id", "no array", "deep", "id that is none"],
)
async def test_frame_that_is_none_is_refused_in_the_shape_of_the_dialect(hub, frame) -> None:
    async with open_socket(PATH, subprotocols=[tally.SUBPROTOCOL]) as socket:
        client = Client(socket.send_bytes, socket.receive_bytes)
        await socket._communicator.send_input({"type": "websocket.receive", "bytes": frame})
        assert await client.hears("no", None, "invalid_input")

        await socket.send_text('["beat",1]')
        assert "Text" in (await client.hears("no", None, "invalid_input"))[0]
        assert await client.ask("beat", 1) == []


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (["dance", "a"], "invalid_frame"),
        ([7, "a"], "invalid_frame"),
        (["open", "a", 7], "invalid_frame"),
        (["open", "a"], "invalid_frame"),
        (["open", "a", "shop"], "unauthenticated"),
        (["open", "a", "shop", 0, "no token"], "unauthenticated"),
        (["put", "a", [1]], "not_found"),
        (["shut", "a"], "not_found"),
    ],
)
async def test_command_that_cannot_be_obeyed_is_answered_under_the_id_of_the_client(
    socket, frame, code
) -> None:
    assert await socket.refused(*frame) == code
    assert await socket.ask("beat", "a") == []


async def test_close_codes_and_the_word_before_a_restart_are_its_own(hub) -> None:
    async with open_socket(PATH, subprotocols=[tally.SUBPROTOCOL]) as socket:
        client = Client(socket.send_bytes, socket.receive_bytes)
        await client.ask("beat", 1)
        stopping = asyncio.create_task(hub.drain(seconds=2))
        [wait] = await client.hears("later", None)
        assert wait > 0
        assert await socket.receive_close() == 3503
    await stopping


async def test_flood_of_mistakes_ends_with_its_close_code(hub, settings) -> None:
    settings.RELAIS = {**settings.RELAIS, "limit_mistakes": "1/min:2"}
    async with open_socket(PATH, subprotocols=[tally.SUBPROTOCOL]) as socket:
        for _ in range(3):
            await socket.send_text("?")
        assert await socket.receive_close() == 3400


async def test_frame_that_is_too_large_is_refused_in_its_words_and_closes(hub, settings) -> None:
    settings.RELAIS = {**settings.RELAIS, "limit_foreign_message_bytes": 1024}
    async with open_socket(PATH, subprotocols=[tally.SUBPROTOCOL]) as socket:
        client = Client(socket.send_bytes, socket.receive_bytes)
        await client.say("beat", 1, b"x" * 1024)
        assert await client.hears("no", None, "too_big")
        assert await socket.receive_close() == 3413


# ── subscriptions ────────────────────────────────────────────────────────────────────────────────────────


async def test_subscriptions_of_one_topic_hear_what_each_asked_for_under_its_own_id(socket, ana_s) -> None:
    await socket.ask("open", "all", "shop", 0, ana_s)
    await socket.ask("open", 2, "shop", 100, ana_s)
    await socket.ask("open", "elsewhere", "Größe/∞", 0, ana_s)

    await put(TOPIC, "", [5])
    await put(TOPIC, "", [7, 100, 300])

    assert [await socket.amounts("all") for _ in range(2)] == [[5], [7, 100, 300]]
    assert await socket.amounts(2) == [100, 300]
    assert await socket.nothing_else() == []


async def test_id_that_is_used_again_means_the_new_question(socket, ana_s) -> None:
    await socket.ask("open", "a", "shop", 0, ana_s)
    await socket.ask("open", "a", "cellar", 0, ana_s)
    await socket.ask("open", "b", "shop", 0, ana_s)
    await put(TOPIC, "", [1])
    await put("tally.cellar", "", [2])

    assert await socket.amounts("a") == [2]
    assert await socket.amounts("b") == [1]
    assert await socket.nothing_else() == []


async def test_shut_subscription_hears_nothing_more(socket, ana_s) -> None:
    await socket.ask("open", "a", "shop", 0, ana_s)
    await socket.ask("open", "b", "shop", 0, ana_s)
    await socket.ask("shut", "a")
    await put(TOPIC, "", [1])

    assert await socket.amounts("b") == [1]
    assert await socket.nothing_else() == []


async def test_body_is_encoded_once_for_all_ids_and_a_frame_once_for_all_sockets(
    connect, ana_s, monkeypatch
) -> None:
    bodies, wrapped = [], []
    render, wrap = tally.Large.render, tally.Named.wrap
    monkeypatch.setattr(tally.Large, "render", lambda *args: bodies.append(args) or render(*args))
    monkeypatch.setattr(tally.Named, "wrap", lambda *args: wrapped.append(args) or wrap(*args))
    async with connect() as one, connect() as other:
        for client in (one, other):
            for name in ("a", "b"):
                await client.ask("open", name, "shop", 0, ana_s)
        await put(TOPIC, "", [1, 2])
        for client in (one, other):
            assert [await client.amounts(name) for name in ("a", "b")] == [[1, 2], [1, 2]]

    assert (len(bodies), len(wrapped)) == (1, 2)


async def test_subscription_that_puts_is_left_out_and_no_other_is(connect, ana_s) -> None:
    async with connect() as one, connect() as other:
        for client in (one, other):
            for name in ("a", "b"):
                await client.ask("open", name, "shop", 0, ana_s)
        await one.ask("put", "a", [9])

        assert await one.amounts("b") == [9]
        assert [await other.amounts(name) for name in ("a", "b")] == [[9], [9]]
        assert await one.nothing_else() == []


async def test_subscription_resumes_from_its_own_position(connect, ana_s) -> None:
    async with connect() as before:
        await before.ask("open", "a", "shop", 0, ana_s)
        await put(TOPIC, "", [1])
        [(position, _)] = await before.hears("rows", "a")
    await put(TOPIC, "", [2, 3])
    async with connect() as after:
        [live] = await after.ask("open", "a", "shop", 0, ana_s, position)
        assert live.startswith("3-")
        await after.ask("open", "b", "shop", 0, ana_s)
        await put(TOPIC, "", [4])

        assert [await after.amounts("a") for _ in range(2)] == [[2, 3], [4]]
        assert await after.amounts("b") == [4]
        assert await after.nothing_else() == []


@pytest.mark.parametrize("after", ["9", "9-0123456789", "yesterday"])
async def test_position_that_never_was_is_answered(socket, ana_s, after) -> None:
    await put(TOPIC, "", [1])
    assert await socket.refused("open", "a", "shop", 0, ana_s, after) == "gone"


async def test_position_of_another_past_ends_one_subscription(socket, ana_s) -> None:
    await put(TOPIC, "", [1])
    await socket.ask("open", "b", "shop", 0, ana_s)
    await socket.say("open", "a", "shop", 0, ana_s, "1-0123456789")
    assert await socket.hears("over", "a") == ["gone"]

    await put(TOPIC, "", [2])
    assert await socket.amounts("b") == [2]
    assert await socket.nothing_else() == []


# ── identities ───────────────────────────────────────────────────────────────────────────────────────────


async def test_command_behind_a_sign_in_waits_for_it(socket, ana_s) -> None:
    await socket.say("sign", 0, ana_s)
    await socket.say("open", "a", "shop")

    assert await socket.hears("yes", 0) == []
    assert await socket.hears("yes", "a")


async def test_end_of_a_session_ends_its_subscriptions_and_no_others(socket, ana, ana_s, bruno_s) -> None:
    second = await token_of(ana)
    await socket.ask("sign", 0, second)
    for name, token in {"a": ana_s, "b": ana_s, "second": None, "bruno": bruno_s}.items():
        await socket.ask("open", name, "shop", 0, token)

    await sign_out(access_token=ana_s)

    assert await socket.hears("over", "a") == await socket.hears("over", "b") == ["session_revoked"]
    await put(TOPIC, "", [1])
    assert await socket.amounts("second") == await socket.amounts("bruno") == [1]
    assert await socket.refused("open", "a", "shop", 0, ana_s) == "session_revoked"
    await socket.ask("open", "a", "shop", 0, bruno_s)
    await socket.ask("put", "bruno", [2])
    assert await socket.amounts("a") == [2]


async def test_user_who_was_signed_out_speaks_no_more(socket, ana_s) -> None:
    await socket.ask("sign", 0, ana_s)
    await socket.ask("open", "a", "shop")
    await sign_out(access_token=ana_s)
    await socket.hears("over", "a")

    assert await socket.refused("open", "a", "shop") == "unauthenticated"


async def test_token_that_expires_ends_its_subscriptions_and_no_others(
    socket, hub, ana_s, bruno_s, tokens_age
) -> None:
    await socket.ask("open", "a", "shop", 0, ana_s)
    tokens_age(3600)
    await socket.ask("open", "bruno", "shop", 0, bruno_s)  # its hour begins after the clock was moved

    assert await socket.hears("over", "a") == ["token_expired"]
    await put(TOPIC, "", [1])
    assert await socket.amounts("bruno") == [1]
    assert await socket.nothing_else() == []


class Hold:
    """A function that waits in its thread, before it begins or when it is done."""

    def __init__(self, function: Callable[..., Any], *, is_done: bool) -> None:
        self.function, self.is_done = function, is_done
        self.waits, self.goes_on = threading.Event(), threading.Event()

    def __call__(self, *args: Any) -> Any:
        result = self.function(*args) if self.is_done else None
        self.waits.set()
        assert self.goes_on.wait(60)
        return result if self.is_done else self.function(*args)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Hold]]:
    holds: list[Hold] = []

    def hold(name: str, *, is_done: bool = False) -> Hold:
        holds.append(Hold(getattr(tally, name), is_done=is_done))
        monkeypatch.setattr(tally, name, holds[-1])
        return holds[-1]

    yield hold
    for each in holds:
        each.goes_on.set()


@pytest.mark.parametrize("is_done", [False, True])
async def test_renewed_subscription_misses_nothing_and_keeps_no_other_waiting(
    socket, ana, ana_s, held, is_done
) -> None:
    for name in ("a", "b"):
        await socket.ask("open", name, "shop", 0, ana_s)
    check = held("extent", is_done=is_done)
    await socket.say("renew", "a", await token_of(ana))
    await eventually(check.waits.is_set)
    await put(TOPIC, "", [1, 2])
    await put(TOPIC, "", [3])
    assert [await socket.amounts("b") for _ in range(2)] == [[1, 2], [3]]
    assert await socket.nothing_else() == [], "it is told nothing while it is checked"

    check.goes_on.set()
    await socket.hears("yes", "a")
    await put(TOPIC, "", [4])
    assert [await socket.amounts("a") for _ in range(3)] == [[1, 2], [3], [4]]
    assert await socket.amounts("b") == [4]

    await sign_out(access_token=ana_s)
    assert await socket.hears("over", "b") == ["session_revoked"]
    await put(TOPIC, "", [5])
    assert await socket.amounts("a") == [5]
    assert await socket.nothing_else() == []


async def test_renewal_that_is_refused_leaves_the_old_token(socket, ana_s) -> None:
    await socket.ask("open", "a", "shop", 0, ana_s)
    assert await socket.refused("renew", "a", "no token") == "unauthenticated"
    await put(TOPIC, "", [1])
    assert await socket.amounts("a") == [1]


async def test_old_token_that_ends_while_the_new_one_is_checked_is_the_end(socket, ana, ana_s, held) -> None:
    await socket.ask("open", "a", "shop", 0, ana_s)
    check = held("extent")
    await socket.say("renew", "a", await token_of(ana))
    await eventually(check.waits.is_set)
    await sign_out(access_token=ana_s)
    assert await socket.hears("over", "a") == ["session_revoked"]
    check.goes_on.set()

    assert await socket.hears("no", "a", "not_found")


# ── commands beside each other ───────────────────────────────────────────────────────────────────────────


async def test_heartbeat_and_other_subscriptions_do_not_wait_for_a_slow_command(socket, ana_s, held) -> None:
    for name in ("a", "b"):
        await socket.ask("open", name, "shop", 0, ana_s)
    slow = held("put")
    await socket.say("put", "a", [1])
    await socket.say("shut", "a")
    await eventually(slow.waits.is_set)

    await socket.ask("shut", "b")
    assert await socket.nothing_else() == [], "what comes after it in its lane waits for it"

    slow.goes_on.set()
    assert [await socket.hears("yes", "a") for _ in range(2)] == [[], []]


# ── restarts and limits of the server ────────────────────────────────────────────────────────────────────


async def test_socket_that_goes_leaves_nothing_behind(connect, hub, ana_s, bruno_s) -> None:
    async with connect() as client:
        await client.ask("sign", 0, ana_s)
        await client.ask("open", "a", "shop")
        await client.ask("open", "b", "shop", 0, bruno_s)
        await client.ask("renew", "b", ana_s)
        assert set(hub.topics()) >= {TOPIC}

    await eventually(lambda: not hub.topics())
    assert not hub.sockets
    assert not any(hub.expiries._ending.values())


async def test_second_sign_in_replaces_the_first_that_nothing_uses(
    socket, hub, bruno, ana_s, bruno_s
) -> None:
    await socket.ask("sign", 0, ana_s)
    await socket.ask("sign", 0, bruno_s)

    assert list(hub.topics()) == [user_topic(bruno.pk)]
