"""Rights and identities that change while a socket is open, and while its collection is being looked at."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import sync_to_async

from accounts.models import User
from accounts.services import revoke_all
from accounts.tokens import access_token
from changes import allow, anybody
from changes.events import RightsChanged
from directus.socket import subscriptions
from realtime import UnavailableError, publish_on_commit
from tests.directus.socket.conftest import insert, row

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def doors(table):
    """A collection that only superusers may read."""
    return table("doors", "id integer PRIMARY KEY, title text", rights=[])


@pytest.fixture
def notes(table):
    """A collection that everybody may read."""
    return table("notes", "id integer PRIMARY KEY", rights=[allow("read", to=anybody)])


@pytest.fixture
def is_superuser(ana):
    """`await is_superuser(True)`: what Ana is from now on, as everybody hears."""

    def become(value, *, tell=True):
        User.objects.filter(pk=ana.pk).update(is_superuser=value)
        if tell:
            publish_on_commit("collection.doors", RightsChanged(users=[ana.pk]))

    return sync_to_async(become)


@pytest.fixture
def held(monkeypatch):
    """The next look at a collection, held up just before its rows are told."""

    class Held:
        def __init__(self):
            self.has_looked, self.goes_on = asyncio.Event(), asyncio.Event()

    hold, come_in = Held(), subscriptions.come_in

    async def slowly(*arguments):
        found = await come_in(*arguments)
        if not hold.has_looked.is_set():
            hold.has_looked.set()
            await hold.goes_on.wait()
        return found

    monkeypatch.setattr(subscriptions, "come_in", slowly)
    return hold


async def test_identity_that_ends_while_rows_are_looked_up_is_shown_none_of_them(
    directus, written, ana, held
):
    await written(insert(1))
    async with directus(ana) as client:
        await client.say("subscribe", collection="tasks", uid="a")
        await held.has_looked.wait()
        await sync_to_async(revoke_all)(user=ana)
        expired = await client.hear()
        held.goes_on.set()
        answer = await client.hear()
        await written(insert(2))
        assert await client.is_silent()

    assert expired["error"]["code"] == "TOKEN_EXPIRED"
    assert (answer["type"], answer["error"]["code"], answer["uid"]) == ("subscribe", "FORBIDDEN", "a")


async def test_identity_that_ends_meanwhile_is_shown_what_everybody_may_see(directus, notes, held, ana):
    async with directus(ana) as client:
        await client.say("subscribe", collection="notes", uid="a")
        await held.has_looked.wait()
        await sync_to_async(revoke_all)(user=ana)
        await client.hear()
        held.goes_on.set()
        init = await client.hear()
        assert await client.is_silent()

    assert (init["event"], init["data"]) == ("init", [])


async def test_rights_that_come_back_are_noticed_and_all_changes_since_are_told(
    directus, written, doors, ana, is_superuser
):
    await is_superuser(True, tell=False)
    await written("INSERT INTO doors VALUES (1, 'a')")
    async with directus(ana) as client:
        init = await client.subscribe("doors", uid="a")
        await is_superuser(False)
        assert await client.is_silent()
        await written("INSERT INTO doors VALUES (2, 'b')")
        assert await client.is_silent()
        await is_superuser(False)  # once more: nothing follows from it
        assert await client.is_silent()
        await is_superuser(True)
        await written("INSERT INTO doors VALUES (3, 'c')")
        told = [await client.hear() for _ in range(2)]
        assert await client.is_silent()

    assert init["data"] == [{"id": 1, "title": "a"}]
    assert [(frame["event"], frame["data"][0]["id"]) for frame in told] == [("create", 2), ("create", 3)]


async def test_identity_may_change_while_nothing_may_be_seen(
    directus, written, doors, ana, bruno, is_superuser, token_of
):
    await is_superuser(True, tell=False)
    async with directus(ana) as client:
        await client.subscribe("doors", uid="a")
        token, own = [await sync_to_async(access_token)(user) for user in (bruno, ana)]
        answer = await client.ask("auth", access_token=token)
        await written("INSERT INTO doors VALUES (2, 'b')")
        assert await client.is_silent()
        await client.say("auth", access_token=own)
        frames = [await client.hear() for _ in range(2)]

    assert answer["status"] == "ok"
    assert sorted((frame["type"], frame.get("event")) for frame in frames) == [
        ("auth", None),
        ("subscription", "create"),
    ]


async def test_subscription_that_cannot_be_judged_ends_the_socket_so_that_its_client_comes_back(
    directus, doors, ana, is_superuser, monkeypatch
):
    await is_superuser(True, tell=False)

    def out_of_reach(*_arguments, **_more):
        raise UnavailableError

    async with directus(ana) as client:
        await client.subscribe("doors", uid="a")
        monkeypatch.setattr(subscriptions, "look", out_of_reach)
        await is_superuser(False)
        told = await client.hear()
        code = await client.socket.receive_close()

    assert (told["type"], told["error"]["code"], code) == ("server", "SERVICE_UNAVAILABLE", 1013)


async def test_password_of_another_user_is_judged_by_their_rights(directus, written, bruno, ana):
    await written(insert(1, owner=bruno.pk, secret="x"))
    await sync_to_async(bruno.set_password)("a password of Bruno's")
    await sync_to_async(bruno.save)()
    async with directus(ana) as client:
        first = await client.subscribe(uid="a")
        await client.say("auth", email=bruno.email or bruno.username, password="a password of Bruno's")
        frames = [await client.hear() for _ in range(2)]

    again = next(frame for frame in frames if frame["type"] == "subscription")
    assert first["data"] == [row(1, owner=bruno.pk)]
    assert again["data"] == [row(1, owner=bruno.pk) | {"secret": "x"}]
