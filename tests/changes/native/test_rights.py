"""Rights that change while a collection is watched."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async

from accounts.models import User
from changes.events import RightsChanged
from realtime import publish_on_commit
from tests.changes.native.test_collection import insert

pytestmark = pytest.mark.django_db(transaction=True)


def change(user, told=True, **values):
    """Give a user other values, past everything that could notice it, and tell the topic."""
    User.objects.filter(pk=user.pk).update(**values)
    publish_on_commit("collection.tasks", RightsChanged(users=[user.pk] if told else None))


async def test_who_may_read_more_is_shown_what_there_is(written, page_of, ana, bruno):
    await written(insert(1, owner=bruno.pk, secret="x"))
    async with page_of(ana) as page, page_of(bruno) as other:
        for each in page, other:
            await each.ask("subscribe", topic="collection.tasks", snapshot=True)
        await sync_to_async(change)(ana, is_superuser=True)
        answer = await page.receive()
        await written(insert(2, secret="y"))
        told = await page.receive()
        mine = await other.receive()

    assert (answer["type"], answer["reason"], answer["ref"]) == ("subscribed", "rights_changed", None)
    assert answer["snapshot"]["results"][0]["secret"] == "x"
    assert told["row"]["secret"] == "y"
    assert "secret" not in mine["row"]


async def test_who_may_read_nothing_any_more_is_unsubscribed(written, page_of, ana):
    await written()
    async with page_of(ana) as page:
        await page.ask("subscribe", topic="collection.tasks")
        await sync_to_async(change)(ana, is_active=False)
        answer = await page.receive()
        await written(insert(1))
        assert await page.is_silent()

    assert (answer["type"], answer["code"]) == ("unsubscribed", "unknown_collection")


async def test_change_that_alters_nothing_is_not_noticed(written, page_of, ana):
    async with page_of(ana) as page:
        await page.ask("subscribe", topic="collection.tasks", snapshot=True)
        await sync_to_async(change)(ana, told=False, language="fr")
        await written(insert(1), insert(2))
        told = [await page.receive() for _ in range(2)]

    assert [each["key"] for each in told] == [1, 2]


async def test_changes_just_after_the_loss_are_judged_by_the_new_rights(written, page_of, ana):
    """The look-up of the new rights takes a while, in which more is told."""
    await written(insert(1, owner=ana.pk))
    await sync_to_async(change)(ana, is_superuser=True)
    async with page_of(ana) as page:
        await page.ask("subscribe", topic="collection.tasks", query={"fields": "id,secret"})
        await sync_to_async(change)(ana, is_superuser=False)
        await written(*[insert(number, secret="y") for number in range(2, 12)])
        frames = [await page.receive()]
        while frames[-1]["type"] != "resync":
            frames.append(await page.receive())
        await written(insert(99, owner=ana.pk, secret="mine"))
        while frames[-1].get("key") != 99:
            frames.append(await page.receive())

    assert not [frame for frame in frames[:-1] if "secret" in frame.get("row", {})]
    assert frames[-1]["row"] == {"id": 99, "secret": "mine"}
