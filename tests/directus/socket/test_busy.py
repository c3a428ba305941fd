"""A server that cannot judge a credential, or is asked too often, says so, and takes nothing away."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import sync_to_async

from directus import credentials
from directus.defaults import conf
from directus.socket import consumer
from directus.socket.consumer import DirectusConsumer
from realtime import UnavailableError
from realtime import conf as core
from realtime.rates import Rate
from realtime.testing import open_socket, refusal_of
from tests.directus.socket.conftest import PATH, insert

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def out_of_reach(monkeypatch):
    """`out_of_reach()`: from now on no token can be looked up."""

    def fail(*_arguments):
        raise UnavailableError

    return lambda: monkeypatch.setattr(credentials, "identify", fail)


async def test_token_that_cannot_be_looked_up_is_not_refused_as_wrong(hub, out_of_reach):
    out_of_reach()

    assert (await refusal_of(f"{PATH}?access_token=x")).status == 503


async def test_first_frame_that_cannot_be_looked_up_is_told_to_come_back(directus, out_of_reach):
    out_of_reach()
    async with directus() as client:
        answer = await client.ask("auth", access_token="x")

        assert (answer["type"], answer["error"]["code"]) == ("auth", "SERVICE_UNAVAILABLE")
        assert await client.socket.receive_close() == 1013


async def test_later_token_that_cannot_be_looked_up_changes_nothing(directus, written, ana, out_of_reach):
    async with directus(ana) as client:
        await client.subscribe(uid="a")
        out_of_reach()
        answer = await client.ask("auth", access_token="x", uid=1)
        await written(insert(1))
        told = await client.hear()

    assert (answer["type"], answer["uid"], answer["error"]["code"]) == ("auth", 1, "SERVICE_UNAVAILABLE")
    assert told["event"] == "create"


@pytest.mark.parametrize("first", [True, False], ids=["first frame", "address"])
async def test_user_with_too_many_sockets_opens_no_more(directus, ana, token_of, monkeypatch, first):
    monkeypatch.setattr(core, "limit_sockets_per_user", 1)
    token = await sync_to_async(token_of)(ana)
    async with directus(ana):
        if first:
            async with directus() as client:
                answer = await client.ask("auth", access_token=token)
                assert answer["error"]["code"] == "REQUESTS_EXCEEDED"
                assert await client.socket.receive_close() == 1013
        else:
            assert (await refusal_of(f"{PATH}?access_token={token}")).status == 429


async def test_places_are_counted_before_anybody_is_looked_up(hub, ana, token_of, monkeypatch, tasks):
    """Else a crowd that comes at once would pass the limit together."""
    monkeypatch.setattr(conf, "websockets_rest_conn_limit", 1)
    token = await sync_to_async(token_of)(ana)
    counts, identify = [], credentials.identify

    def seen(given):
        counts.append(DirectusConsumer.count)
        return identify(given)

    monkeypatch.setattr(credentials, "identify", seen)
    async with open_socket(f"{PATH}?access_token={token}"):
        assert counts == [1]
        assert (await refusal_of(f"{PATH}?access_token={token}")).status == 403
    assert DirectusConsumer.count == 0
    assert (await refusal_of(f"{PATH}?access_token=x")).status == 401
    assert DirectusConsumer.count == 0


async def test_frames_beyond_the_rate_are_dropped_and_say_for_how_long(directus, ana, monkeypatch):
    async with directus(ana) as client:
        monkeypatch.setattr(core, "limit_frames", Rate.parse("1/min:2"))
        answers = [await client.ask("ping", uid=number) for number in range(3)]

    error = answers[2]["error"]
    assert [each["type"] for each in answers] == ["pong", "pong", "server"]
    assert error["code"] == "REQUESTS_EXCEEDED"
    assert f"Retry after {error['retry_after_ms']} ms" in error["message"]


async def test_subscriptions_are_counted_with_requests_of_rest(directus, ana, tasks, monkeypatch):
    monkeypatch.setattr(core, "limit_rest", Rate.parse("1/min:2"))
    async with directus(ana) as client:
        for uid in ("a", "b"):
            await client.subscribe(uid=uid)
        answer = await client.ask("subscribe", collection="tasks", uid="c")
        again = await client.ask("ping")

    assert (answer["error"]["code"], answer["uid"]) == ("REQUESTS_EXCEEDED", "c")
    assert again == {"type": "pong"}


async def test_client_whose_commands_take_long_is_not_taken_for_dead(mode, directus, monkeypatch):
    """Its pong waits behind them, unless the socket takes it at once."""
    mode("public")
    monkeypatch.setattr(conf, "websockets_heartbeat_period", 0.2)
    goes_on = asyncio.Event()

    async def slowly(_self, _fields, _asked):
        await goes_on.wait()

    monkeypatch.setitem(consumer._FRAMES, "items", slowly)
    async with directus() as client:
        await client.say("items")
        for _ in range(4):
            assert await client.hear() == {"type": "ping"}
            await client.say("pong")
        goes_on.set()
        assert await client.ask("ping", uid=1) in ({"type": "ping"}, {"type": "pong", "uid": 1})


async def test_pong_right_behind_the_first_frame_spoils_nothing(directus, ana, token_of):
    token = await sync_to_async(token_of)(ana)
    async with directus() as client:
        await client.say("auth", access_token=token)
        await client.say("pong")

        assert await client.hear() == {"type": "auth", "status": "ok"}
        assert await client.is_silent()
