"""Signing in on the native socket: by a credential of the handshake, or by the first frame."""

import time

import pytest
from asgiref.sync import sync_to_async

from accounts.services import revoke_session
from accounts.tokens import access_token
from native import consumer, waiting
from realtime.testing import open_socket
from tests.chat.speaking import aside


async def test_credential_of_the_handshake_is_greeted(ana, page_of):
    async with page_of(ana) as page:
        hello = page.hello
    assert hello["ref"] is None
    assert hello["user"] == {"id": ana.pk, "username": "ana"}
    assert len(hello["session"]) == 12
    assert hello["ping_interval_ms"] == 25_000
    assert 3_500 < hello["expires_at"] - time.time() <= 3_600
    assert hello["limits"] == {
        "frame_bytes": 131_072,
        "subscriptions": 200,
        "content_characters": 8_000,
        "typing_interval_ms": 3_000,
    }
    assert {"conversation", "inbox", "mine"} <= set(hello["features"])


async def test_subprotocol_is_answered(ana, hub, token_of):
    token = await sync_to_async(token_of)(ana)
    async with open_socket("/ws/", subprotocols=["relais.v1", f"bearer.{token}"]) as socket:
        assert socket.subprotocol == "relais.v1"
        assert (await socket.receive())["type"] == "hello"


async def test_first_frame_says_who_is_there(ana, hub, token_of):
    token = await sync_to_async(token_of)(ana)
    async with open_socket("/ws/") as socket:
        await socket.send({"type": "subscribe", "topic": "mine", "ref": 1})
        refused = await socket.receive()
        assert (refused["type"], refused["code"], refused["ref"], refused["id"]) == (
            "error",
            "unauthenticated",
            1,
            "mine",
        )
        await socket.send({"type": "auth", "token": token, "ref": "a"})
        hello = await socket.receive()
        assert (hello["type"], hello["ref"], hello["user"]["id"]) == ("hello", "a", ana.pk)
        assert waiting.WAITING.count == 0
        await socket.send({"type": "auth", "token": token, "ref": 2})
        assert (await socket.receive())["code"] == "invalid_frame"


@pytest.mark.parametrize("token", [None, 7, "", "abc", ["a"], {"a": 1}])
async def test_refused_token_closes(hub, token):
    async with open_socket("/ws/") as socket:
        send = socket.send if isinstance(token, str) else socket.send_wrong
        await send({"type": "auth", "token": token, "ref": 1})
        error = await socket.receive()
        assert (error["code"], error["ref"]) == ("unauthenticated", 1)
        assert await socket.receive_close() == 4401


async def test_wrong_credential_of_the_handshake_closes(hub):
    async with open_socket("/ws/?token=abc") as socket:
        assert (await socket.receive())["code"] == "unauthenticated"
        assert await socket.receive_close() == 4401


async def test_socket_that_says_nothing_is_closed(hub, monkeypatch):
    monkeypatch.setattr(waiting, "AUTH_SECONDS", 0.05)
    async with open_socket("/ws/") as socket:
        assert (await socket.receive())["code"] == "unauthenticated"
        assert await socket.receive_close() == 4401
    assert waiting.WAITING.count == 0


async def test_socket_that_talks_without_signing_in_gets_no_more_time(hub, monkeypatch, unlimited):
    monkeypatch.setattr(waiting, "AUTH_SECONDS", 0.3)
    async with open_socket("/ws/") as socket:
        answers = []
        while not answers or answers[-1] == "The first frame must be `auth`.":
            await socket.send({"type": "ping"})
            answers.append((await socket.receive())["message"])
        assert answers[-1] == "No `auth` came within 0.3 s."
        assert await socket.receive_close() == 4401


async def test_oldest_socket_of_the_fullest_address_makes_room_where_too_many_wait(
    hub, relais, ana, token_of
):
    relais(limit_pending_sockets=2)
    token = await sync_to_async(token_of)(ana)
    async with open_socket("/ws/") as first, open_socket("/ws/") as second, open_socket("/ws/") as third:
        assert (await first.receive())["code"] == "overloaded"
        assert await first.receive_close() == 4503
        for socket in (second, third):
            await socket.send({"type": "auth", "token": token})
            assert (await socket.receive())["type"] == "hello"


async def test_token_is_renewed_in_band(ana, bruno, page_of, token_of):
    token, other = await sync_to_async(token_of)(ana), await sync_to_async(token_of)(bruno)
    async with page_of(ana) as page:
        answer = await page.ask("auth.refresh", token=token)
        assert answer["type"] == "auth.refreshed"
        assert answer["expires_at"] >= page.hello["expires_at"]
        assert (await page.ask("auth.refresh", token=other))["code"] == "unauthenticated"
        assert await page.is_silent()


async def test_revoked_session_closes(ana, page_of):
    async with page_of(ana) as page:
        await aside(lambda: [revoke_session(user=ana, session_id=each.pk) for each in ana.sessions.all()])()
        assert (await page.receive())["code"] == "session_revoked"
        assert await page.socket.receive_close() == 4401


async def test_server_pings_in_the_second_of_a_socket(ana, page_of):
    async with page_of(ana) as page:
        pings = consumer.Pings.current()
        for _ in range(25):
            pings.ping()
        ping = await page.receive()
        assert (ping["type"], ping["server_time"][-1]) == ("ping", "Z")
        await page.socket.send({"type": "pong"})
        assert await page.is_silent()


async def test_unusable_frames_are_answered_and_the_socket_lives(ana, page_of, unlimited):
    async with page_of(ana) as page:
        of_odd_types = [f'{{"type":{name}}}' for name in ("7", "null", "[]", "{}", '["ping"]', '"nothing"')]
        for text in ("[]", "{", '"a"', '{"a":1}', '{"type":"send"}', *of_odd_types):
            await page.socket.send_text(text)
            assert (await page.receive())["code"] in {"invalid_json", "invalid_frame"}
        await page.socket.send_bytes(b"\x00")
        assert (await page.receive())["code"] == "invalid_json"
        for ref in (1.5, [], {}, True, 2**53, "x" * 65, "\x00"):
            await page.socket.send_wrong({"type": "ping", "ref": ref})
            assert await page.receive() | {"message": ""} == {
                "type": "error",
                "code": "invalid_frame",
                "message": "",
                "retryable": False,
                "retry_after_ms": None,
                "ref": None,
                "id": None,
            }
        assert await page.is_silent()


async def test_token_of_the_command_line(ana, hub):
    token = await sync_to_async(access_token)(ana)
    async with open_socket(f"/ws/?token={token}") as socket:
        assert (await socket.receive())["type"] == "hello"
