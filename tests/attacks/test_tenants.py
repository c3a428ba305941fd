"""Nobody reads or does what is not theirs, on any route or socket, and what is forbidden looks unknown.

Routes and commands are read from the product: one that is added without a row in the matrix fails here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from notifications.models import Notification
from realtime.testing import open_socket
from tests.attacks import surface
from tests.attacks.conftest import CANARY, Tenant
from tests.attacks.matrix import (
    CALLERS,
    COMMANDS,
    HTTP,
    INSIDERS,
    NOTIFICATIONS,
    OUTSIDERS,
    PAGES,
    SOCKETS,
)
from tests.chat.speaking import contents, head_of, say
from tests.factories import make_conversation

ENDPOINTS = [(endpoint.route, endpoint.method) for endpoint in surface.endpoints()]
OF_ONE = [(route, method) for route, method in ENDPOINTS if surface.places(route)]


def test_matrix_has_every_endpoint():
    assert set(ENDPOINTS) == HTTP.keys()
    assert all(rule.answers.keys() == set(CALLERS) for rule in HTTP.values())


def test_matrix_has_every_route_that_is_no_endpoint():
    others = surface.routes().keys() - {route for route, _ in ENDPOINTS}

    assert {route for route in others if not route.startswith("/admin/")} == PAGES


def test_matrix_has_every_socket_and_every_command():
    assert surface.guide_sockets().keys() == SOCKETS.keys()
    assert set(surface.commands()) == COMMANDS.keys()
    assert all(answers.keys() == set(CALLERS) for answers in SOCKETS.values())


# ── HTTP ─────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def undone() -> Iterator[None]:
    """Undo what happens in the block, so that the next caller finds the same."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def call(client: Any, route: str, method: str, ids: dict[str, Any], body: object = ...) -> Any:
    sent = HTTP[route, method].body if body is ... else body
    text = "" if sent is None else json.dumps(sent)
    return client.generic(method, surface.filled(route, ids), text, content_type="application/json")


def state_of(tenant: Tenant) -> Any:
    """Everything that an attack might change."""
    conversation = tenant.conversation
    conversation.refresh_from_db()
    members = list(conversation.participants.order_by("pk").values_list("user", "role", "read_seq"))
    unread = Notification.objects.filter(read_at=None).count()
    return conversation.title, head_of(conversation), contents(conversation), members, unread


def told(answer: Any) -> tuple[int, bytes, dict[str, str]]:
    """Everything of an answer that a caller can see."""
    return answer.status_code, answer.content, dict(answer.headers)


@pytest.mark.parametrize(("route", "method"), HTTP)
def test_everybody_is_answered_as_the_matrix_says(tenant: Tenant, route, method):
    answers, before = {}, state_of(tenant)
    for caller in CALLERS:
        with undone():
            answers[caller] = call(tenant.client(caller), route, method, tenant.ids).status_code
            if answers[caller] >= 400:
                assert state_of(tenant) == before, caller

    assert answers == HTTP[route, method].answers


@pytest.mark.parametrize(("route", "method"), HTTP)
def test_caller_without_the_right_sees_nothing_of_the_tenant(tenant: Tenant, route, method):
    for caller, status in HTTP[route, method].answers.items():
        if caller not in INSIDERS:
            with undone():
                seen = told(call(tenant.client(caller), route, method, tenant.ids))
                own = {f"{CANARY}-{caller}@example.com"}  # their own e-mails, in the answers about themselves
            text = str(seen)
            for mine in own:
                text = text.replace(mine, "")
            assert CANARY not in text, (caller, status)


@pytest.mark.parametrize("body", ["right", "wrong"])
@pytest.mark.parametrize(("route", "method"), OF_ONE)
def test_forbidden_and_unknown_look_the_same_and_cost_the_same(tenant: Tenant, route, method, body):
    """Status, body, headers and the number of queries are the same, so a clock tells nothing either."""
    wrong = {} if body == "right" else {"body": {"nonsense": 1}}
    for caller in ("anonymous", *OUTSIDERS):
        client = tenant.client(caller)
        seen = []
        for ids in (tenant.ids, tenant.unknown):
            with undone(), CaptureQueriesContext(connection) as queries:
                answer = call(client, route, method, ids, **wrong)
            seen.append((told(answer), len(queries)))
        assert seen[0] == seen[1], caller


@pytest.mark.parametrize(("route", "method"), OF_ONE)
def test_id_of_another_tenant_is_unknown_inside_ones_own(tenant: Tenant, route, method):
    """The conversation is the caller's, the message or the member is not."""
    stranger = tenant.people["stranger"]
    own = make_conversation(stranger, title="own")
    say(own, stranger, "own")
    client = tenant.client("stranger")
    for name in surface.places(route)[1:]:
        mixed = {**tenant.ids, "conversation_id": own.pk}
        seen = []
        for value in (tenant.ids[name], tenant.unknown[name]):
            with undone(), CaptureQueriesContext(connection) as queries:
                answer = call(client, route, method, {**mixed, name: value})
            assert answer.status_code == 404
            seen.append((told(answer), len(queries)))
        assert seen[0] == seen[1]


def test_admin_is_for_staff(tenant: Tenant):
    """Neither a token, nor the session cookie of an ordinary user, nor nothing opens the admin."""
    paths = [path for path in surface.routes() if path.startswith("/admin/") and "^" not in path]
    assert len(paths) > 20
    ids = {"id": tenant.people["admin"].pk, "object_id": tenant.conversation.pk, "content_type_id": 1}
    with_cookie = APIClient(raise_request_exception=False)
    with_cookie.force_login(tenant.people["member"])
    for client in (tenant.client("anonymous"), tenant.client("superuser"), with_cookie):
        for path in paths:
            if path in ("/admin/login/", "/admin/(?P<url>.*)$"):
                continue
            answer = client.get(surface.filled(path, ids))
            assert CANARY not in str(told(answer)), path
            # The words of the date picker are public; every other page leads to the sign-in.
            assert answer.status_code in (301, 302, 403) or path == "/admin/jsi18n/", path


# ── sockets ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def people(hub: Any, make_tenant: Any) -> Tenant:
    """A tenant in a database that the sockets' threads see."""
    return await sync_to_async(make_tenant)()


def frame_of(path: str, name: str, **facts: Any) -> dict[str, Any]:
    """A command, with the ids put in."""

    def fill(value: Any) -> Any:
        if isinstance(value, list):
            return [fill(item) for item in value]
        return facts[value[1:-1]] if isinstance(value, str) and value.startswith("{") else value

    return {"type": name, **{key: fill(value) for key, value in COMMANDS[path, name].frame.items()}}


async def refusal(path: str, token: str | None, ids: dict[str, Any], *, frames: list[Any]) -> list[Any]:
    """Everything that a refused socket is told while it tries to send commands."""
    async with open_socket(surface.filled(path, ids) + "?v=1", token=token) as socket:
        heard = []
        for frame in frames:
            await socket.send(frame)
        while (message := await socket._communicator.receive_output(5))["type"] != "websocket.close":
            heard.append(message)
        return [*heard, message]


@pytest.mark.parametrize("path", SOCKETS)
async def test_caller_who_may_not_listen_is_refused_and_commands_nothing(people: Tenant, path):
    head = await sync_to_async(head_of)(people.conversation)
    for caller, answer in SOCKETS[path].items():
        if answer == "open":
            continue
        token = None if caller == "anonymous" else await sync_to_async(people.token)(caller)
        facts = {**people.ids, "token": token or "x"}
        frames = [frame_of(p, name, **facts) for p, name in COMMANDS if p == path]

        heard = await refusal(path, token, people.ids, frames=frames)

        assert heard[-1]["code"] == answer, caller
        assert [json.loads(message["text"])["type"] for message in heard[:-1]] == ["error"]
        if surface.places(path):
            assert heard == await refusal(path, token, people.unknown, frames=frames), caller
        assert CANARY not in str(heard)
    assert await sync_to_async(head_of)(people.conversation) == head


@pytest.mark.parametrize("caller", INSIDERS)
@pytest.mark.parametrize(("path", "name"), COMMANDS)
async def test_command_of_an_admitted_caller_is_answered_as_the_matrix_says(
    people: Tenant, path, name, caller
):
    token = await sync_to_async(people.token)(caller)
    facts = {**people.ids, "token": await sync_to_async(people.token)(caller)}
    expected = getattr(COMMANDS[path, name], caller)
    async with open_socket(surface.filled(path, people.ids) + "?v=1", token=token) as socket:
        await socket.send({**frame_of(path, name, **facts), "ref": "asked"})
        await socket.send({"type": "ping", "ref": "after"})
        answers = []
        while expected is None or not answers:
            frame = await socket.receive()
            if frame.get("ref") == "asked":
                answers.append(frame.get("code", frame["type"]))
            elif frame.get("ref") == "after" and expected is None:
                break
    assert answers == ([] if expected is None else [expected])


@pytest.mark.parametrize("caller", OUTSIDERS)
@pytest.mark.parametrize("name", ["edit", "delete"])
async def test_command_about_another_tenants_message_finds_none(people: Tenant, name, caller):
    """The commands are sent on a socket of the caller's own conversation, where they may command."""
    own = await sync_to_async(make_conversation)(people.people[caller], title="own")
    await sync_to_async(say)(own, people.people[caller], "own")
    before = await sync_to_async(contents)(people.conversation)
    token = await sync_to_async(people.token)(caller)
    answers = []
    async with open_socket(f"/ws/chat/{own.pk}/?v=1", token=token) as socket:
        for message_id in (people.ids["message_id"], people.unknown["message_id"]):
            await socket.send({"type": name, "message_id": message_id, "message": "mine now", "ref": 1})
            answers.append(await socket.receive_until("error"))

    assert answers[0] == answers[1]
    assert answers[0]["code"] == "message_not_found"
    assert await sync_to_async(contents)(people.conversation) == before


@pytest.mark.parametrize("caller", ["member", *OUTSIDERS])
async def test_notification_of_another_user_cannot_be_read(people: Tenant, caller):
    token = await sync_to_async(people.token)(caller)
    async with open_socket(NOTIFICATIONS + "?v=1", token=token) as socket:
        await socket.send({"type": "read", "ids": [people.ids["notification_id"]], "ref": 1})
        ack = await socket.receive_until("ack")

    assert ack["unread_count"] == 0
    assert (await Notification.objects.aget(pk=people.ids["notification_id"])).read_at is None


@pytest.mark.parametrize("caller", OUTSIDERS)
async def test_outsider_hears_nothing_while_the_tenant_speaks(people: Tenant, caller):
    """On the one socket that lets them in, and with the tenant's own token, which is refused in a frame."""
    token = await sync_to_async(people.token)(caller)
    members = await sync_to_async(people.token)("member")
    async with (
        open_socket(NOTIFICATIONS + "?v=1", token=token) as outside,
        open_socket(NOTIFICATIONS + "?v=1", token=members) as inside,
    ):
        await outside.receive_until("subscribed")
        await inside.receive_until("subscribed")
        await outside.send({"type": "auth.refresh", "token": members, "ref": 1})
        assert (await outside.receive_until("error"))["code"] == "unauthenticated"
        await sync_to_async(say)(people.conversation, people.people["admin"], f"{CANARY} live")

        assert (await inside.receive_until("message_received"))["data"]
        assert await outside.receives_nothing()
