"""Who a socket speaks for: the three modes, cookies, first frames, new identities, and their ends."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import sync_to_async

from accounts.services import revoke_all
from accounts.tokens import access_token
from directus import credentials
from directus.defaults import conf
from directus.static_tokens import set_token
from realtime.testing import open_socket, refusal_of
from tests.directus.socket.conftest import PATH, Client, insert, row

pytestmark = pytest.mark.django_db(transaction=True)

MODES = ("public", "handshake", "strict")
FAILED = {
    "type": "auth",
    "status": "error",
    "error": {"code": "AUTH_FAILED", "message": "Authentication handshake failed."},
}
OK = {"type": "auth", "status": "ok"}


def cookie_of(token):
    return [(b"cookie", f"{credentials.SESSION_COOKIE}={token}".encode())]


# --- the handshake ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize("how", ["address", "cookie"])
async def test_token_in_the_address_or_cookie_is_enough_in_every_mode(
    mode, name, how, hub, ana, token_of, tasks
):
    mode(name)
    token = await sync_to_async(token_of)(ana)
    path, headers = (f"{PATH}?access_token={token}", None) if how == "address" else (PATH, cookie_of(token))
    async with open_socket(path, headers=headers) as socket:
        init = await Client(socket).subscribe()

    assert init["data"] == []


@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize("how", ["address", "cookie"])
async def test_token_that_is_none_is_refused_before_the_socket_opens(mode, name, how, hub):
    mode(name)
    path, headers = (f"{PATH}?access_token=x", None) if how == "address" else (PATH, cookie_of("x"))
    refusal = await refusal_of(path, headers=headers)

    assert (refusal.status, refusal.body) == (401, b"")


async def test_strict_mode_needs_a_token(mode, hub):
    mode("strict")

    assert (await refusal_of(PATH)).status == 401


async def test_cookie_of_a_page_of_another_origin_opens_nothing(mode, hub, ana, token_of):
    mode("public")
    headers = [*cookie_of(await sync_to_async(token_of)(ana)), (b"origin", b"https://elsewhere.example")]

    assert (await refusal_of(PATH, headers=headers)).status == 403


async def test_more_sockets_than_the_limit_are_refused(mode, hub, directus, monkeypatch):
    mode("public")
    monkeypatch.setattr(conf, "websockets_rest_conn_limit", 1)
    async with directus():
        refusal = await refusal_of(PATH)
    async with directus() as client:
        assert await client.is_silent()

    assert (refusal.status, refusal.body) == (403, b"")


@pytest.mark.parametrize("kind", ["access", "static", "password"])
async def test_first_frame_signs_in(directus, ana, token_of, tasks, kind):
    if kind == "static":
        await sync_to_async(set_token)(user=ana, token="a-static-token-of-ana")
    given = {
        "access": {"access_token": await sync_to_async(token_of)(ana)},
        "static": {"access_token": "a-static-token-of-ana"},
        "password": {"email": ana.email or ana.username, "password": "demo-password"},
    }[kind]
    if kind == "password":
        await sync_to_async(ana.set_password)("demo-password")
        await sync_to_async(ana.save)()
    async with directus() as client:
        answer = await client.ask("auth", **given, uid="hello")
        refresh_token = answer.pop("refresh_token", None)
        assert answer == OK | {"uid": "hello"}
        assert (refresh_token is not None) == (kind == "password")
        await client.subscribe()
        if refresh_token is not None:
            answer = await client.ask("auth", refresh_token=refresh_token)
            assert answer["status"] == "ok"
            assert answer["refresh_token"] != refresh_token


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"auth","access_token":"nonsense","uid":1}',
        '{"type":"auth"}',
        '{"type":"ping"}',
        '{"type":"subscribe","collection":"tasks"}',
        "nonsense",
        "[]",
        '{"type":7}',
    ],
)
async def test_first_frame_that_does_not_sign_in_ends_the_socket(directus, text):
    async with directus() as client:
        await client.socket.send_text(text)

        assert await client.hear() == FAILED
        assert await client.socket.receive_close() == 1008


async def test_silence_ends_the_socket(directus, monkeypatch):
    monkeypatch.setattr(conf, "websockets_rest_auth_timeout", 0.1)
    async with directus() as client:
        assert await client.hear() == FAILED
        await client.socket.receive_close()


async def test_frames_behind_the_first_are_obeyed_after_it(directus, ana, token_of, tasks):
    token = await sync_to_async(token_of)(ana)
    async with directus() as client:
        await client.say("auth", access_token=token)
        await client.say("subscribe", collection="tasks", uid="a")
        await client.say("ping")
        frames = [await client.hear() for _ in range(3)]

    assert [frame["type"] for frame in frames] == ["auth", "subscription", "pong"]


# --- other identities ---------------------------------------------------------------------------------


async def test_failed_auth_leaves_a_public_socket_to_nobody(mode, directus, written, ana):
    mode("public")
    async with directus(ana) as client:
        await client.subscribe(uid="a")
        answer = await client.ask("auth", access_token="nonsense", uid=7)
        await written(insert(1))
        assert await client.is_silent()

    assert answer["error"]["code"] == "AUTH_FAILED"
    assert (answer["type"], answer["uid"]) == ("auth", 7)


async def test_failed_auth_ends_a_socket_that_needs_one(directus, ana):
    async with directus(ana) as client:
        answer = await client.ask("auth", access_token="nonsense")
        assert answer["error"] == {"code": "AUTH_FAILED", "message": "Authentication failed."}
        await client.socket.receive_close()


async def test_new_token_of_the_same_user_goes_on_without_a_new_beginning(directus, written, ana, token_of):
    token = await sync_to_async(token_of)(ana)
    async with directus(ana) as client:
        await client.subscribe(uid="a")
        assert await client.ask("auth", access_token=token) == OK
        await written(insert(1), insert(2))
        told = [await client.hear() for _ in range(2)]
        assert await client.is_silent()

    assert [frame["data"] for frame in told] == [[row(1)], [row(2)]]


async def test_other_user_sees_what_they_may_see(directus, written, ana, bruno, token_of):
    await written(insert(1, owner=bruno.pk, secret="x"))
    token = await sync_to_async(token_of)(bruno)
    async with directus(ana) as client:
        first = await client.subscribe(uid="a")
        await client.say("auth", access_token=token)
        frames = [await client.hear() for _ in range(2)]

    assert "secret" not in first["data"][0]
    init = next(frame for frame in frames if frame["type"] == "subscription")
    assert (init["event"], init["uid"], init["data"][0]["secret"]) == ("init", "a", "x")


async def test_token_that_ends_makes_the_socket_nobodys_until_it_is_renewed(directus, written, ana, token_of):
    await written(insert(1))
    async with directus(ana) as client:
        await client.subscribe(uid="a")
        await sync_to_async(revoke_all)(user=ana)
        expired = await client.hear()
        await written(insert(2))
        assert await client.is_silent()
        token = await sync_to_async(access_token)(ana)
        assert await client.ask("auth", access_token=token) == OK
        told = await client.hear()
        await written(insert(3))
        after = await client.hear()

    assert expired["error"] == {"code": "TOKEN_EXPIRED", "message": "Token expired."}
    assert (told["event"], told["data"]) == ("create", [row(2)])
    assert after["data"] == [row(3)]


async def test_token_that_is_not_renewed_in_time_ends_the_socket(directus, ana, monkeypatch):
    monkeypatch.setattr(conf, "websockets_rest_auth_timeout", 0.1)
    async with directus(ana) as client:
        await sync_to_async(revoke_all)(user=ana)
        codes = [(await client.hear())["error"]["code"] for _ in range(2)]
        await client.socket.receive_close()

    assert codes == ["TOKEN_EXPIRED", "AUTH_TIMEOUT"]


# --- heartbeats ---------------------------------------------------------------------------------------


async def test_silent_client_is_pinged_and_then_closed(mode, directus, monkeypatch):
    mode("public")
    monkeypatch.setattr(conf, "websockets_heartbeat_period", 0.1)
    async with directus() as client:
        assert await client.hear() == {"type": "ping"}
        await client.socket.receive_close()


@pytest.mark.parametrize("text", ['{"type":"pong"}', '{"type":"ping"}', "nonsense"])
async def test_any_frame_keeps_a_client_alive(mode, directus, monkeypatch, text):
    mode("public")
    monkeypatch.setattr(conf, "websockets_heartbeat_period", 0.15)
    async with directus() as client:
        pings = 0
        while pings < 4:
            if (await client.hear()) == {"type": "ping"}:
                pings += 1
                await client.socket.send_text(text)


async def test_nothing_is_said_before_the_first_frame(directus, monkeypatch, ana, token_of):
    monkeypatch.setattr(conf, "websockets_heartbeat_period", 0.05)
    token = await sync_to_async(token_of)(ana)
    async with directus() as client:
        await asyncio.sleep(0.2)

        assert await client.ask("auth", access_token=token) == OK
