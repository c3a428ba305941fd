"""Rights that change while a collection is watched: nobody but the database knows that they do."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async

from changes import rights_changed
from tests.changes.native.test_collection import insert

pytestmark = pytest.mark.django_db(transaction=True)


def update(user, what):
    """The statement with which another program changes a user."""
    return f"UPDATE accounts_user SET {what} WHERE id = {user.pk}"


async def test_who_may_read_more_is_shown_what_there_is(written, page_of, ana, bruno):
    await written(insert(1, owner=bruno.pk, secret="x"))
    async with page_of(ana) as page, page_of(bruno) as other:
        for each in page, other:
            await each.ask("subscribe", topic="collection.tasks", snapshot=True)
        await written(update(ana, "is_superuser = true"))
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
        await written(update(ana, "is_active = false"), insert(1))
        answer = await page.receive()
        await written(insert(2))
        assert await page.is_silent()

    assert (answer["type"], answer["code"]) == ("unsubscribed", "unknown_collection")


async def test_change_that_alters_nothing_is_not_noticed(written, page_of, ana):
    async with page_of(ana) as page:
        await page.ask("subscribe", topic="collection.tasks", snapshot=True)
        await sync_to_async(rights_changed)(None)
        await written(update(ana, "first_name = 'Anna'"), insert(1), insert(2))
        told = [await page.receive() for _ in range(2)]

    assert [each["key"] for each in told] == [1, 2]


async def test_changes_just_after_the_loss_are_judged_by_the_new_rights(written, page_of, ana):
    """The look-up of the new rights takes a while, in which more is told."""
    await written(insert(1, owner=ana.pk), update(ana, "is_superuser = true"))
    async with page_of(ana) as page:
        await page.ask("subscribe", topic="collection.tasks", query={"fields": "id,secret"})
        await written(
            update(ana, "is_superuser = false"), *[insert(number, secret="y") for number in range(2, 12)]
        )
        frames = [await page.receive()]
        while frames[-1]["type"] != "resync":
            frames.append(await page.receive())
        await written(insert(99, owner=ana.pk, secret="mine"))
        while frames[-1].get("key") != 99:
            frames.append(await page.receive())

    assert not [frame for frame in frames[:-1] if "secret" in frame.get("row", {})]
    assert frames[-1]["row"] == {"id": 99, "secret": "mine"}


@pytest.mark.parametrize("is_superuser", [False, True])
async def test_what_is_noted_of_rights_is_nobodys_to_watch(written, page_of, ana, is_superuser):
    await written(update(ana, f"is_superuser = {is_superuser}"))
    async with page_of(ana) as page:
        for name in ("$accounts$user$id", "$said", "$"):
            for asked in (
                {"command": "subscribe", "topic": f"collection.{name}", "snapshot": True},
                {"command": "rows", "collection": name},
            ):
                answer = await page.ask_any(**asked)
                assert (answer["type"], answer["code"]) == ("error", "unknown_collection")
