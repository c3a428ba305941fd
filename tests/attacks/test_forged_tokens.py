"""No forged token opens any endpoint or socket, however it is carried, and all are answered alike.

`tests/accounts/` says what each forgery is, and what `identify` answers to it. Here each is tried everywhere
that the product accepts a token.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from asgiref.sync import sync_to_async
from channels.routing import get_default_application
from channels.testing import WebsocketCommunicator
from rest_framework.test import APIClient
from rest_framework_simplejwt.exceptions import TokenError

from accounts import services
from accounts.models import Session, User
from accounts.serializers import MAX_TOKEN_FIELD_CHARACTERS
from accounts.tickets import sell_ticket
from accounts.tokens import AccessToken, access_token, identify, issue, pair
from config.logs import configuration
from realtime.testing import open_socket
from tests.accounts.forgeries import FORGERIES, good, good_claims, sign
from tests.attacks import surface
from tests.attacks.conftest import Tenant
from tests.attacks.matrix import HTTP
from tests.factories import make_user

#: The endpoints that want a token; signing out reads one if it is there.
GUARDED = [e for e in surface.endpoints() if not e.is_public or e.route == "/api/auth/logout/"]
SOCKETS = list(surface.sockets())


def test_there_are_forty_kinds():
    assert len(FORGERIES) >= 40


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Everything that the product would log at DEBUG, as it would write it."""
    stream = io.StringIO()
    formatter = configuration(readable=False, level="DEBUG")["formatters"]["relais"]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        formatter["()"](foreign_pre_chain=formatter["foreign_pre_chain"], processors=formatter["processors"])
    )
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel("DEBUG")
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


def assert_none_is_in(text: str, tokens: list[str]) -> None:
    """Check that the text holds no token, and no part that could be used instead of the whole."""
    parts = {part for token in tokens for part in token.split(".") if len(part) > 20}
    assert not [part for part in parts if part in text]


@pytest.fixture
def forged(tenant: Tenant) -> dict[str, str]:
    session = Session.objects.create(user=tenant.people["admin"])
    return {name: forge(session) for name, forge in FORGERIES.items()}


@pytest.mark.parametrize("endpoint", GUARDED, ids=str)
def test_no_forgery_opens_an_endpoint(tenant: Tenant, forged, logged, endpoint):
    url = surface.filled(endpoint.route, tenant.ids)
    body = json.dumps(HTTP[endpoint.route, endpoint.method].body or {})
    client = APIClient(raise_request_exception=False)
    answers = set()
    for token in forged.values():
        answer = client.generic(
            endpoint.method,
            url,
            body,
            content_type="application/json",
            HTTP_AUTHORIZATION=f"Bearer {token}",
        )
        answers.add((answer.status_code, answer.content, str(sorted(answer.headers.items()))))

    # Directus clients are told whether a token has the form of ours; all that have it get the same answer.
    assert sorted(status for status, *_ in answers) == ([401, 403] if endpoint.is_directus else [401]), (
        answers
    )
    assert_none_is_in(logged.getvalue(), list(forged.values()))


@pytest.mark.parametrize("endpoint", [e for e in GUARDED if not e.is_public], ids=str)
def test_good_token_elsewhere_than_in_the_header_opens_no_endpoint(tenant: Tenant, endpoint):
    """A token in the query, in a cookie, in another scheme or given twice counts for nothing: browsers send
    such things by themselves. Directus has one name for the query, and a cookie that others do not share."""
    token = tenant.token("admin")
    url = surface.filled(endpoint.route, tenant.ids)
    body = json.dumps(HTTP[endpoint.route, endpoint.method].body or {})
    names = ["token", "ticket", "jwt", *([] if endpoint.is_directus else ["access_token"])]
    in_query = "?" + "&".join(f"{name}={token}" for name in names)
    cookies = "; ".join(f"{name}={token}" for name in ("token", "access", "sessionid", "Authorization"))
    carriers: list[dict[str, Any]] = [
        {"QUERY_STRING": in_query[1:]},
        {"HTTP_COOKIE": cookies},
        {"HTTP_AUTHORIZATION": f"Token {token}"},
        {"HTTP_AUTHORIZATION": f"Basic {token}"},
        {"HTTP_AUTHORIZATION": token},
        {"HTTP_X_AUTHORIZATION": f"Bearer {token}"},
        {"HTTP_SEC_WEBSOCKET_PROTOCOL": f"bearer.{token}"},
        {"HTTP_AUTHORIZATION": f"Bearer {token}, Bearer {token}"},
    ]
    for extra in carriers:
        client = APIClient(raise_request_exception=False)
        answer = client.generic(endpoint.method, url, body, content_type="application/json", **extra)
        assert answer.status_code == 401, extra


def test_no_forgery_is_refreshed(tenant: Tenant, logged):
    """Refresh tokens are carried in the body; there an access token is one more forgery."""
    session = Session.objects.create(user=tenant.people["admin"])
    tokens = [forge(session) for name, forge in FORGERIES.items() if "type 'refresh'" not in name]
    tokens += [good(session), pair(session)["access"]]
    client, answers = APIClient(raise_request_exception=False), set()
    for path in ("/api/token/refresh/", "/api/auth/logout/"):
        for token in tokens:
            body = json.dumps({"refresh": token})
            answer = client.generic("POST", path, body, content_type="application/json")
            if answer.status_code == 400:
                # Such a text does not fit the field, and is no token at all.
                assert not token or not token.isprintable() or len(token) > MAX_TOKEN_FIELD_CHARACTERS
                continue
            answers.add((answer.status_code, answer.json()["code"], answer.content))

    assert [answer[:2] for answer in answers] == [(401, "unauthenticated")]
    assert_none_is_in(logged.getvalue(), tokens)


def test_no_forgery_costs_much_more_than_a_token_of_ours(tenant: Tenant, forged):
    """To verify, without the look at its user: CPU time, and the fastest of five, on a shared machine.

    A good token in the same run is the unit, because some machines are slower: it takes 0.02 to 0.05 ms. The
    dearest is a token that begins like ours, is signed by us, and is still left to PyJWT: five times as much.
    """
    ours = good(Session.objects.create(user=tenant.people["admin"]))

    def cost(token: str) -> float:
        started = time.thread_time()
        with contextlib.suppress(TokenError):
            AccessToken(token)  # type: ignore[arg-type]  # simplejwt types its text as a Token
        return time.thread_time() - started

    tracer = sys.gettrace()
    sys.settrace(None)  # measuring coverage costs more than what is measured here
    try:
        best = {name: min(cost(token) for _ in range(5)) for name, token in forged.items()}
        a_token = min(cost(ours) for _ in range(5))
    finally:
        sys.settrace(tracer)

    assert {name: seconds / a_token for name, seconds in best.items() if seconds > 8 * a_token} == {}


# ── sockets ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def forged_outside(hub: Any, make_tenant: Callable[[], Tenant]) -> Any:
    """The tenant and the forgeries, in a database that the socket's threads see."""

    def make() -> tuple[Tenant, dict[str, str]]:
        tenant = make_tenant()
        session = Session.objects.create(user=tenant.people["admin"])
        return tenant, {name: forge(session) for name, forge in FORGERIES.items()}

    return await sync_to_async(make)()


async def refusal(path: str, *, headers: Any = (), subprotocols: Any = None) -> list[Any]:
    """Everything that a handshake is answered, up to its close."""
    communicator = WebsocketCommunicator(
        get_default_application(),
        path,
        headers=[(b"host", b"testserver"), *headers],
        subprotocols=subprotocols,
    )
    await communicator.send_input({"type": "websocket.connect"})
    heard = []
    while not heard or heard[-1]["type"] != "websocket.close":
        heard.append(await communicator.receive_output(5))
    await communicator.disconnect()
    return heard


@pytest.mark.parametrize("path", SOCKETS)
async def test_no_forgery_opens_a_socket(forged_outside, logged, path):
    tenant, forged = forged_outside
    url = surface.filled(path, tenant.ids)
    answers = set()
    for token in forged.values():
        encoded = quote(token, safe="", errors="replace")
        tries: list[dict[str, Any]] = [{"path": f"{url}?v=1&token={encoded}"}]
        if token.isprintable() and token.isascii():
            tries.append({"path": f"{url}?v=1", "headers": [(b"authorization", b"Bearer " + token.encode())]})
            tries.append({"path": f"{url}?v=1", "subprotocols": [f"bearer.{token}"]})
        for attempt in tries:
            [accept, error, close] = await refusal(**attempt)
            answers.add((accept["type"], error["text"], close["code"]))

    assert len(answers) == 1, answers
    accept, error, code = next(iter(answers))
    assert (accept, json.loads(error)["code"], code) == ("websocket.accept", "unauthenticated", 4401)
    assert_none_is_in(logged.getvalue(), list(forged.values()))


@pytest.mark.parametrize("path", SOCKETS)
async def test_no_forgery_prolongs_a_socket(forged_outside, logged, path):
    tenant, forged = forged_outside
    token = await sync_to_async(access_token)(tenant.people["admin"])
    answers = set()
    async with open_socket(surface.filled(path, tenant.ids) + "?v=1", token=token) as socket:
        for forgery in forged.values():
            if not forgery.isprintable():
                continue  # no JSON text may hold this one
            await socket.send({"type": "auth.refresh", "token": forgery, "ref": 1})
            error = await socket.receive_until("error")
            answers.add(json.dumps(error))
        await socket.send({"type": "ping", "ref": "alive"})
        assert (await socket.receive_until("pong"))["ref"] == "alive"

    assert len(answers) == 1, answers
    assert json.loads(answers.pop())["code"] == "unauthenticated"
    assert_none_is_in(logged.getvalue(), list(forged.values()))


@pytest.mark.parametrize("path", SOCKETS)
async def test_two_tokens_open_no_socket(forged_outside, path):
    """Two readers might pick different tokens."""
    tenant, _ = forged_outside
    token = await sync_to_async(access_token)(tenant.people["admin"])
    url = surface.filled(path, tenant.ids)
    bearer = (b"authorization", b"Bearer " + token.encode())
    for attempt in (
        {"path": f"{url}?token={token}&token={token}&v=1"},
        {"path": f"{url}?token=x&%74oken={token}&v=1"},
        {"path": f"{url}?ticket={token}&ticket=x&v=1"},
        {"path": f"{url}?v=1", "headers": [bearer, bearer]},
        {"path": f"{url}?v=1", "subprotocols": [f"bearer.{token}", f"bearer.{token}"]},
    ):
        [_, error, close] = await refusal(**attempt)
        assert (json.loads(error["text"])["code"], close["code"]) == ("unauthenticated", 4401)


@pytest.mark.parametrize("path", surface.guide_sockets())
async def test_cookie_opens_no_socket(forged_outside, path):
    """A page of another origin could send the cookie: cross-site hijacking."""
    tenant, _ = forged_outside
    token = await sync_to_async(access_token)(tenant.people["admin"])
    client = APIClient()
    await sync_to_async(client.force_login)(tenant.people["superuser"])
    session = client.cookies["sessionid"].value
    url = surface.filled(path, tenant.ids)
    for cookie in (f"sessionid={session}", f"token={token}", f"access={token}; sessionid={session}"):
        for origin in (None, b"http://testserver"):
            headers = [(b"cookie", cookie.encode())]
            headers += [(b"origin", origin)] if origin else []
            [_, error, close] = await refusal(f"{url}?v=1", headers=headers)
            assert (json.loads(error["text"])["code"], close["code"]) == ("unauthenticated", 4401)


async def test_cookie_signs_nobody_in_on_the_native_socket(forged_outside):
    """The socket waits for a token in its first frame, as if there were no cookie."""
    tenant, _ = forged_outside
    token = await sync_to_async(access_token)(tenant.people["admin"])
    client = APIClient()
    await sync_to_async(client.force_login)(tenant.people["superuser"])
    session = client.cookies["sessionid"].value
    for cookie in (f"sessionid={session}", f"token={token}", f"access={token}; sessionid={session}"):
        async with open_socket("/ws/", headers=[(b"cookie", cookie.encode())]) as socket:
            await socket.send({"type": "subscribe", "topic": "mine", "ref": 1})
            assert (await socket.receive())["code"] == "unauthenticated"
            await socket.send_wrong({"type": "auth", "ref": 2})
            assert (await socket.receive())["code"] == "unauthenticated"
            assert await socket.receive_close() == 4401


# ── in a frame ───────────────────────────────────────────────────────────────────────────────────────────


async def test_no_forgery_is_taken_in_the_first_frame(forged_outside, logged):
    """The socket is closed with the same words, whatever the forgery."""
    _, forged = forged_outside
    answers = set()
    for forgery in [*forged.values(), None, "", 7, True, [], {}, {"token": "x"}, "x" * 100_000]:
        if isinstance(forgery, str) and not forgery.isprintable():
            continue  # no JSON text may hold this one
        async with open_socket("/ws/") as socket:
            send = socket.send if isinstance(forgery, str) else socket.send_wrong
            await send({"type": "auth", "token": forgery, "ref": 1})
            error = await socket.receive()
            # Frames behind a forged token are not obeyed.
            await socket.send({"type": "subscribe", "topic": "mine", "ref": 2})
            answers.add((json.dumps(error), await socket.receive_close()))

    assert len(answers) == 1, answers
    error, code = answers.pop()
    assert (json.loads(error)["code"], code) == ("unauthenticated", 4401)
    assert_none_is_in(logged.getvalue(), list(forged.values()))


async def test_refused_first_frame_has_no_second_try(forged_outside):
    """A good token sent together with a bad one does not help: each guess costs a handshake."""
    tenant, forged = forged_outside
    token = await sync_to_async(access_token)(tenant.people["admin"])
    async with open_socket("/ws/") as socket:
        for each in (next(iter(forged.values())), token):
            await socket.send({"type": "auth", "token": each, "ref": 1})
        assert (await socket.receive())["code"] == "unauthenticated"
        assert await socket.receive_close() == 4401


async def test_bad_credential_of_the_handshake_is_not_excused_by_a_good_first_frame(forged_outside):
    tenant, forged = forged_outside
    token = await sync_to_async(access_token)(tenant.people["admin"])
    async with open_socket("/ws/", token=next(filter(str.isalnum, forged.values()), "x")) as socket:
        await socket.send({"type": "auth", "token": token, "ref": 1})
        assert (await socket.receive())["code"] == "unauthenticated"
        assert await socket.receive_close() == 4401


def expired(user: User) -> str:
    session = Session.objects.create(user=user)
    return sign({**good_claims(session), "iat": 1, "exp": int(time.time()) - 10})


def revoked(user: User) -> str:
    token = access_token(user)
    services.sign_out(access_token=token)
    return token


def of_a_disabled_user(user: User) -> str:
    other = make_user("disabled")
    token = access_token(other)
    services.deactivate(user=other)
    return token


def of_a_deleted_user(user: User) -> str:
    other = make_user("deleted")
    token = access_token(other)
    other.delete()
    return token


#: Tokens that were ours once, or are ours for another use, made for a user.
OVER: dict[str, Callable[[User], str]] = {
    "expired": expired,
    "revoked": revoked,
    "of a disabled user": of_a_disabled_user,
    "of a deleted user": of_a_deleted_user,
    "a refresh token": lambda user: issue(user)["refresh"],
    "a ticket": lambda user: sell_ticket(identity=identify(access_token(user))),
}


@pytest.mark.parametrize("kind", OVER)
async def test_token_that_is_over_is_answered_alike_on_every_way_in(forged_outside, logged, kind):
    """The codes and close codes of the guide's sockets are the same in a handshake, in a first frame, and in
    a frame on an open socket."""
    tenant, _ = forged_outside
    admin = tenant.people["admin"]
    token = await sync_to_async(OVER[kind])(admin)
    handshakes = []
    for path in ("/ws/notifications/?v=1", "/ws/?v=1"):
        for attempt in (
            {"path": f"{path}&token={token}"},
            {"path": path, "headers": [(b"authorization", f"Bearer {token}".encode())]},
            {"path": path, "subprotocols": ["relais.v1", f"bearer.{token}"]},
        ):
            [_, error, close] = await refusal(**attempt)
            handshakes.append((json.loads(error["text"])["code"], close["code"]))
    async with open_socket("/ws/") as socket:
        await socket.send({"type": "auth", "token": token, "ref": 1})
        handshakes.append(((await socket.receive())["code"], await socket.receive_close()))
    assert len(set(handshakes)) == 1, handshakes

    refreshed = []
    good_one = await sync_to_async(access_token)(admin)
    for path, greeting in (("/ws/notifications/?v=1", "subscribed"), ("/ws/", "hello")):
        async with open_socket(path, token=good_one) as socket:
            await socket.receive_until(greeting)
            await socket.send({"type": "auth.refresh", "token": token, "ref": 1})
            refreshed.append((await socket.receive_until("error"))["code"])
            await socket.send({"type": "ping", "ref": "alive"})
            assert (await socket.receive_until("pong"))["ref"] == "alive"
    assert refreshed == [handshakes[0][0]] * 2
    assert_none_is_in(logged.getvalue(), [token])


async def test_socket_does_not_go_on_as_somebody_else(forged_outside):
    """The token is a good one of another user, or one of the same user whose session ends meanwhile."""
    tenant, _ = forged_outside
    mine, other = [await sync_to_async(issue)(tenant.people[name]) for name in ("member", "stranger")]
    async with open_socket("/ws/", token=mine["access"]) as socket:
        await socket.receive_until("hello")
        await socket.send({"type": "auth.refresh", "token": other["access"], "ref": 1})
        assert (await socket.receive_until("error"))["code"] == "unauthenticated"
        await socket.send({"type": "auth", "token": other["access"], "ref": 2})
        assert (await socket.receive_until("error"))["code"] == "invalid_frame"
        topic = f"conversation.{tenant.conversation.pk}"
        await socket.send({"type": "subscribe", "topic": topic, "ref": 3})
        assert (await socket.receive())["type"] == "subscribed"

        second = await sync_to_async(issue)(tenant.people["member"])
        await socket.send({"type": "auth.refresh", "token": second["access"], "ref": 4})
        assert (await socket.receive_until("auth.refreshed"))["ref"] == 4
        await sync_to_async(services.sign_out)(access_token=mine["access"])
        await socket.send({"type": "ping", "ref": "alive"})
        assert (await socket.receive_until("pong"))["ref"] == "alive"
        await sync_to_async(services.sign_out)(access_token=second["access"])
        assert (await socket.receive_until("error"))["code"] == "session_revoked"
        assert await socket.receive_close() == 4401


async def test_ticket_signs_in_once(forged_outside):
    tenant, _ = forged_outside
    ticket = await sync_to_async(OVER["a ticket"])(tenant.people["member"])
    async with open_socket(f"/ws/?ticket={ticket}") as socket:
        assert (await socket.receive())["type"] == "hello"
    [_, error, close] = await refusal(f"/ws/?ticket={ticket}")
    assert (json.loads(error["text"])["code"], close["code"]) == ("unauthenticated", 4401)


def test_cookie_opens_no_endpoint(tenant: Tenant):
    """Not even the cookie of a superuser who is signed in to the admin opens an endpoint."""
    client = APIClient(raise_request_exception=False)
    client.force_login(tenant.people["superuser"])  # gives the session cookie of the admin
    for endpoint in GUARDED:
        rule = HTTP[endpoint.route, endpoint.method]
        answer = client.generic(
            endpoint.method,
            surface.filled(endpoint.route, tenant.ids),
            json.dumps(rule.body or {}),
            content_type="application/json",
        )
        assert answer.status_code == 401, endpoint
