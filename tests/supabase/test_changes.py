"""postgres_changes: rows told to channels, by filter, selection, event and right."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async

from accounts.models import User
from changes import allow, anybody, reader, signed_in
from changes.events import RightsChanged
from realtime import publish_on_commit
from tests.changes.conftest import declare, run, table

__all__ = ["declare", "table"]

pytestmark = pytest.mark.django_db(transaction=True)

ROOM = "realtime:room"


@pytest.fixture
def humeurs(table):
    return table(
        "humeurs",
        "id integer PRIMARY KEY, nom text, owner integer, secret text",
        rights=[
            allow("read", to=anybody, fields=["id", "nom"]),
            allow("read", to=signed_in, rows={"owner": "$CURRENT_USER"}),
        ],
    )


@pytest.fixture
def written(humeurs):
    def write(*statements):
        for statement in statements:
            run(statement)
        while reader.read_some():
            pass

    return sync_to_async(write)


async def listen(client, *asked):
    """Join with subscriptions; returns the response, after the message that they are live."""
    changes = [{"event": "*", "schema": "public", "table": "humeurs", **each} for each in asked]
    config = {"postgres_changes": changes, "broadcast": {"ack": True}}
    ref = await client.push(ROOM, "phx_join", {"config": config})
    frame = await client.receive()
    assert frame[:4] == [ref, ref, ROOM, "phx_reply"]
    assert frame[4]["status"] == "ok"
    listed = frame[4]["response"]["postgres_changes"]
    assert [{key: value for key, value in each.items() if key != "id"} for each in listed] == changes
    system = (await client.receive())[4]
    return listed, system


async def told(client):
    frame = await client.receive()
    assert frame[:4] == [None, None, ROOM, "postgres_changes"], frame
    return frame[4]


async def test_changes_are_told_with_rows_columns_and_time(written, phoenix):
    async with phoenix() as client:
        [binding], system = await listen(client, {})
        await written(
            "INSERT INTO humeurs VALUES (1, 'Zoé', 0, 's')",
            "UPDATE humeurs SET nom = 'Max' WHERE id = 1",
            "DELETE FROM humeurs WHERE id = 1",
        )
        created, updated, deleted = [await told(client) for _ in range(3)]

    assert system == {
        "extension": "postgres_changes",
        "status": "ok",
        "message": "Subscribed to PostgreSQL",
        "channel": "room",
    }
    assert {tuple(each["ids"]) for each in (created, updated, deleted)} == {(binding["id"],)}
    stamp = created["data"].pop("commit_timestamp")
    assert (len(stamp), stamp[-1]) == (24, "Z")
    assert created["data"] == {
        "schema": "public",
        "table": "humeurs",
        "type": "INSERT",
        "columns": [{"name": "id", "type": "int8"}, {"name": "nom", "type": "text"}],
        "record": {"id": 1, "nom": "Zoé"},
        "errors": None,
    }
    assert (updated["data"]["record"], updated["data"]["old_record"]) == ({"id": 1, "nom": "Max"}, {"id": 1})
    assert updated["data"]["type"] == "UPDATE"
    assert (deleted["data"]["type"], deleted["data"]["old_record"]) == ("DELETE", {"id": 1})
    assert "record" not in deleted["data"]


async def test_one_frame_lists_all_subscriptions_that_are_shown_the_same(written, phoenix):
    async with phoenix() as client:
        bindings, _ = await listen(
            client, {}, {"event": "INSERT"}, {"filter": "nom=eq.b"}, {"select": ["nom"]}, {"table": "*"}
        )
        one, two, three, four, five = (each["id"] for each in bindings)
        await written("INSERT INTO humeurs VALUES (1, 'a', 0, '')", "UPDATE humeurs SET nom = 'b'")
        frames = [await told(client) for _ in range(2)]

    assert three not in frames[0]["ids"]
    assert sorted(frames[0]["ids"]) == [one, two, four, five]
    assert sorted(frames[1]["ids"]) == [one, three, four, five]


async def test_selection_is_told_in_a_frame_of_its_own(written, phoenix):
    async with phoenix() as client:
        bindings, _ = await listen(client, {}, {"select": ["id"]})
        await written("INSERT INTO humeurs VALUES (1, 'a', 0, '')")
        frames = [await told(client) for _ in range(2)]

    assert [each["ids"] for each in frames] == [[each["id"]] for each in bindings]
    assert [each["data"]["record"] for each in frames] == [{"id": 1, "nom": "a"}, {"id": 1}]


async def test_update_is_judged_by_the_new_row_and_delete_by_the_old_one(written, phoenix):
    async with phoenix() as client:
        await listen(client, {"filter": "nom=eq.b"})
        await written(
            "INSERT INTO humeurs VALUES (1, 'a', 0, '')",
            "UPDATE humeurs SET nom = 'b'",
            "UPDATE humeurs SET nom = 'c'",
            "DELETE FROM humeurs",
            "INSERT INTO humeurs VALUES (2, 'b', 0, '')",
            "DELETE FROM humeurs",
        )
        kinds = [(await told(client))["data"]["type"] for _ in range(3)]
        assert await client.is_silent()

    assert kinds == ["UPDATE", "INSERT", "DELETE"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"table": "nothing"},
        {"table": "products"},
        {"schema": "private"},
        {"filter": "couleur=eq.1"},
        {"filter": "secret=eq.1"},
        {"filter": "id=eq.x"},
        {"filter": 7},
        {"select": ["couleur"]},
        {"select": "id"},
        {"table": "*", "filter": "id=eq.1"},
    ],
)
async def test_wrong_subscription_is_told_and_none_of_the_channel_is_live(written, phoenix, wrong):
    async with phoenix() as client:
        _, system = await listen(client, {}, wrong)
        await written("INSERT INTO humeurs VALUES (1, 'a', 0, '')")
        assert await client.is_silent()
        wait = {
            "postgres_changes": [{"table": "humeurs", **wrong}],
            "postgres_changes_options": {"wait": True},
        }
        answer = await client.ask(ROOM, "phx_join", {"config": wait})
        while answer["status"] == "ok":
            answer = (await client.receive())[4]

    assert (system["extension"], system["status"]) == ("postgres_changes", "error")


async def test_row_of_ones_own_is_shown_with_all_its_fields(written, phoenix, ana):
    async with phoenix(ana) as client:
        await listen(client, {})
        await written(
            f"INSERT INTO humeurs VALUES (1, 'a', {ana.pk}, 's')",
            "INSERT INTO humeurs VALUES (2, 'b', 0, 's')",
        )
        records = [(await told(client))["data"]["record"] for _ in range(2)]

    assert records == [{"id": 1, "nom": "a", "owner": ana.pk, "secret": "s"}, {"id": 2, "nom": "b"}]


async def test_token_of_a_user_changes_what_is_shown_and_not_the_ids(written, phoenix, ana, token_of):
    token = await sync_to_async(token_of)(ana)
    async with phoenix() as client:
        [binding], _ = await listen(client, {})
        await client.push(ROOM, "access_token", {"access_token": token})
        await client.ask(ROOM, "broadcast", {"event": "after"})  # obeyed after it
        await written(f"INSERT INTO humeurs VALUES (1, 'a', {ana.pk}, 's')")
        change = await told(client)

    assert change["ids"] == [binding["id"]]
    assert change["data"]["record"]["secret"] == "s"


async def test_rights_that_change_are_obeyed_from_then_on(written, phoenix, ana):
    await sync_to_async(User.objects.filter(pk=ana.pk).update)(is_superuser=True)
    async with phoenix(ana) as client:
        await listen(client, {})
        await written("INSERT INTO humeurs VALUES (1, 'a', 0, 's')")
        before = await told(client)
        await sync_to_async(User.objects.filter(pk=ana.pk).update)(is_superuser=False)
        await sync_to_async(publish_on_commit)("collection.humeurs", RightsChanged(users=[ana.pk]))
        await written("INSERT INTO humeurs VALUES (2, 'a', 0, 's')")
        after = await told(client)

    assert before["data"]["record"]["secret"] == "s"
    assert after["data"]["record"] == {"id": 2, "nom": "a"}


async def test_write_just_after_the_reply_is_told(written, phoenix):
    """The subscription is live before the reply."""
    async with phoenix() as client:
        changes = [{"event": "INSERT", "schema": "public", "table": "humeurs"}]
        await client.push(ROOM, "phx_join", {"config": {"postgres_changes": changes}})
        assert (await client.receive())[3] == "phx_reply"
        await written("INSERT INTO humeurs VALUES (1, 'a', 0, 's')")
        assert (await client.receive())[3] == "system"

        assert (await told(client))["data"]["record"] == {"id": 1, "nom": "a"}
