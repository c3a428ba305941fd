"""Tokens on chat sockets: refused alike whatever the conversation, and accepted for as long as they live."""

import json
import time

import pytest

from accounts import services as accounts
from accounts import tokens
from accounts.models import Session
from realtime.hub import head_checks
from realtime.testing import open_socket
from tests.accounts.forgeries import good_claims, sign
from tests.chat.speaking import aside, chat_path, contents, say


def wrong_tokens(ana) -> dict[str, tuple[str | None, str, int]]:
    """The token, the error code and the close code of every kind of wrong token."""
    expired = sign({**good_claims(Session.objects.create(user=ana)), "exp": time.time() - 10})
    pair = tokens.issue(ana)
    revoked = tokens.issue(ana)["access"]
    accounts.sign_out(access_token=revoked)
    return {
        "none": (None, "unauthenticated", 4401),
        "empty": ("", "unauthenticated", 4401),
        "garbage": ("a.b.c", "unauthenticated", 4401),
        "refresh": (pair["refresh"], "unauthenticated", 4401),
        "tampered": (pair["access"][:-4] + "AAAA", "unauthenticated", 4401),
        "expired": (expired, "token_expired", 4401),
        "revoked": (revoked, "session_revoked", 4401),
    }


@pytest.mark.parametrize("path", ["/ws/chat/{}/", "/ws/typing/{}/"])
async def test_wrong_token_is_refused_alike_whether_the_conversation_exists_or_not(
    ana, conversation, hub, transactional_db, path
):
    for name, (token, code, close_code) in (await aside(wrong_tokens)(ana)).items():
        refusals = set()
        for conversation_id in (conversation.pk, 999_999, "nonsense"):
            async with open_socket(path.format(conversation_id), token=token) as socket:
                refusals.add(await socket.receive_text())
                assert await socket.receive_close() == close_code, name
        [refusal] = refusals
        assert (json.loads(refusal)["type"], json.loads(refusal)["code"]) == ("error", code), name


async def test_refused_socket_hears_nothing_of_what_is_really_said(ana, bruno, conversation, connect):
    async with (
        open_socket(chat_path(conversation), token="a.b.c") as refused,
        connect(ana, chat_path(conversation)) as member,
    ):
        assert await refused.receive_close() == 4401
        await aside(say)(conversation, bruno, "not for you")
        assert (await member.receive())["content"] == "not for you"
        assert await refused.receives_nothing()


async def test_disabled_account_is_refused_alike(ana, conversation, connect):
    token = await aside(tokens.access_token)(ana)
    await aside(accounts.deactivate)(user=ana)
    refusals = set()
    for conversation_id in (conversation.pk, 999_999):
        async with open_socket(f"/ws/chat/{conversation_id}/", token=token) as socket:
            refusals.add(await socket.receive_text())
            assert await socket.receive_close() == 4403
    assert [json.loads(refusal)["code"] for refusal in refusals] == ["account_disabled"]


@pytest.mark.parametrize("offer", ["header", "subprotocol"])
async def test_token_may_come_by_other_ways(ana, conversation, hub, transactional_db, offer):
    token = await aside(tokens.access_token)(ana)
    options = (
        {"headers": [(b"authorization", f"Bearer {token}".encode())]}
        if offer == "header"
        else {"subprotocols": ["relais.v1", f"bearer.{token}"]}
    )
    async with open_socket(chat_path(conversation), **options) as socket:
        assert socket.subprotocol == (None if offer == "header" else "relais.v1")
        await socket.send({"message": "Bonjour"})
        assert (await socket.receive_until("message"))["content"] == "Bonjour"


def token_for(user, seconds: float) -> str:
    return sign({**good_claims(Session.objects.create(user=user)), "exp": time.time() + seconds})


async def test_socket_ends_with_its_token_unless_it_was_refreshed(
    ana, bruno, conversation, connect, tokens_age
):
    short, new = await aside(token_for)(ana, 60), await aside(tokens.access_token)(ana)
    async with (
        open_socket(chat_path(conversation), token=short) as ends,
        open_socket(chat_path(conversation), token=short) as goes_on,
    ):
        await goes_on.send({"type": "auth.refresh", "token": new, "ref": 1})
        refreshed = await goes_on.receive()
        assert (refreshed["type"], refreshed["ref"]) == ("auth.refreshed", 1)
        assert refreshed["expires_at"] > time.time() + 600
        tokens_age(60)

        assert (await ends.receive())["code"] == "token_expired"
        assert await ends.receive_close() == 4401
        await aside(say)(conversation, bruno, "after the expiry")
        assert (await goes_on.receive_until("message"))["content"] == "after the expiry"
        assert await ends.receives_nothing()


async def test_token_of_another_user_or_none_refreshes_nothing(ana, bruno, conversation, connect, tokens_age):
    short = await aside(token_for)(ana, 60)
    wrong = [
        await aside(tokens.access_token)(bruno),
        (await aside(tokens.issue)(ana))["refresh"],
        await aside(token_for)(ana, -5),
        "a.b.c",
        None,
    ]
    async with open_socket(chat_path(conversation), token=short) as socket:
        for token in wrong:
            send = socket.send_wrong if token is None else socket.send
            await send({"type": "auth.refresh", "token": token, "ref": 1})
            error = await socket.receive()
            assert (error["type"], error["ref"]) == ("error", 1)
            assert error["code"] in ("unauthenticated", "token_expired")
        await socket.send({"message": "still Ana"})
        assert (await socket.receive_until("message"))["sender_username"] == "ana"
        tokens_age(60)
        assert await socket.receive_close() == 4401


@pytest.fixture
def never_looks(relais, monkeypatch) -> None:
    """The hub does not look at the database within this test, so it knows only the events it is told."""
    relais(head_check_seconds=60)
    monkeypatch.setattr(head_checks, "POLL_SECONDS", 60)


@pytest.mark.usefixtures("never_looks")  # takes effect before the hub begins to look
async def test_logout_closes_the_sessions_open_sockets_at_once(ana, bruno, conversation, connect):
    pair = await aside(tokens.issue)(ana)
    async with (
        open_socket(chat_path(conversation), token=pair["access"]) as first,
        open_socket(f"/ws/typing/{conversation.pk}/", token=pair["access"]) as second,
        connect(ana, chat_path(conversation)) as other_session,
        connect(bruno, chat_path(conversation)) as bystander,
    ):
        await aside(accounts.sign_out)(access_token=pair["access"])
        for socket in (first, second):
            assert (await socket.receive())["code"] == "session_revoked"
            assert await socket.receive_close() == 4401

        await first.send({"message": "still here?"})
        await other_session.send({"message": "still here!"})
        assert (await other_session.receive())["content"] == "still here!"
        assert (await bystander.receive())["content"] == "still here!"
        assert await first.receives_nothing()
    assert await aside(contents)(conversation) == ["still here!"]


async def test_disabling_an_account_closes_its_sockets_with_4403(ana, conversation, connect):
    async with connect(ana, chat_path(conversation)) as socket:
        await aside(accounts.deactivate)(user=ana)

        assert (await socket.receive())["code"] == "account_disabled"
        assert await socket.receive_close() == 4403
