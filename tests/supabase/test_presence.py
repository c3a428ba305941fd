"""Presence on channels: who tracks themselves, who is told, and when they are gone."""

from __future__ import annotations

import pytest

from supabase.presence import MAX_META_BYTES
from supabase.rules import Allowed, _rules, private_channels

pytestmark = pytest.mark.django_db(transaction=True)

ROOM = "realtime:room"


def track(**meta):
    return {"type": "presence", "event": "track", "payload": meta}


async def enter(client, key="", **config):
    """Join with presence; returns the join_ref and the state."""
    joined = await client.join(ROOM, presence={"key": key, "enabled": True}, **config)
    frame = await client.receive()
    assert frame[:4] == [joined, None, ROOM, "presence_state"], frame
    return joined, frame[4]


async def diff(client):
    frame = await client.receive()
    assert frame[:4] == [None, None, ROOM, "presence_diff"], frame
    return frame[4]["joins"], frame[4]["leaves"]


def without_refs(listed):
    return {
        key: [
            {name: value for name, value in meta.items() if not name.startswith("phx_")}
            for meta in each["metas"]
        ]
        for key, each in listed.items()
    }


async def test_state_comes_even_when_nobody_is_there(phoenix):
    async with phoenix() as client:
        assert (await enter(client))[1] == {}


async def test_who_tracks_is_told_to_everybody_and_to_themselves(phoenix):
    async with phoenix() as zoe, phoenix() as max_:
        joined, _ = await enter(zoe, "zoe")
        await enter(max_, "max")
        reply = await zoe.ask(ROOM, "presence", track(nom="Zoé", ok=True), join_ref=joined)
        mine, theirs = await diff(zoe), await diff(max_)
        async with phoenix() as late:
            _, state = await enter(late)

    assert reply == {"status": "ok", "response": {}}
    assert mine == theirs
    assert (without_refs(mine[0]), mine[1]) == ({"zoe": [{"nom": "Zoé", "ok": True}]}, {})
    assert state == mine[0]
    assert mine[0]["zoe"]["metas"][0]["phx_ref"]


async def test_update_replaces_and_the_same_again_says_nothing(phoenix):
    async with phoenix() as client:
        joined, _ = await enter(client, "zoe")
        diffs = []
        for meta in ({"n": 1}, {"n": 1}, {"n": 2}):
            await client.ask(ROOM, "presence", track(**meta), join_ref=joined)
            if meta == {"n": 1} and diffs:
                assert await client.is_silent()
                continue
            frame = await client.receive()
            assert frame[3] == "presence_diff"
            diffs.append(frame[4])

    first, second = diffs
    before = first["joins"]["zoe"]["metas"][0]["phx_ref"]
    assert without_refs(second["joins"]) == {"zoe": [{"n": 2}]}
    assert second["joins"]["zoe"]["metas"][0]["phx_ref_prev"] == before
    assert second["leaves"]["zoe"]["metas"][0]["phx_ref"] == before


@pytest.mark.parametrize("how", ["untrack", "leave", "close", "rejoin"])
async def test_who_goes_is_told_gone(phoenix, how):
    async with phoenix() as watcher:
        await enter(watcher)
        async with phoenix() as client:
            joined, _ = await enter(client, "zoe")
            await client.push(ROOM, "presence", track(n=1), join_ref=joined)
            assert (await diff(watcher))[0]
            if how == "untrack":
                await client.push(ROOM, "presence", {"event": "UNTRACK"}, join_ref=joined)
            elif how == "leave":
                await client.push(ROOM, "phx_leave", join_ref=joined)
            elif how == "rejoin":
                await client.push(ROOM, "phx_join", {})
            if how != "close":
                gone = await diff(watcher)
        if how == "close":
            gone = await diff(watcher)

        assert await watcher.is_silent()
    assert (gone[0], without_refs(gone[1])) == ({}, {"zoe": [{"n": 1}]})


async def test_two_devices_share_a_key(phoenix):
    async with phoenix() as watcher, phoenix() as one:
        await enter(watcher)
        async with phoenix() as two:
            for number, client in enumerate((one, two)):
                joined, _ = await enter(client, "zoe")
                await client.push(ROOM, "presence", track(n=number), join_ref=joined)
            seen = {}
            while sum(map(len, seen.values())) < 2:
                for key, metas in without_refs((await diff(watcher))[0]).items():
                    seen.setdefault(key, []).extend(metas)
        left = await diff(watcher)

    assert seen == {"zoe": [{"n": 0}, {"n": 1}]}
    assert without_refs(left[1]) == {"zoe": [{"n": 1}]}


async def test_who_tracks_without_having_asked_is_shown_who_is_there(phoenix):
    async with phoenix() as client:
        joined = await client.join(ROOM)
        await client.push(ROOM, "presence", track(n=1), join_ref=joined)
        reply, state = [await client.receive() for _ in range(2)]
        there = without_refs(state[4] or (await diff(client))[0])

    assert [frame[3] for frame in (reply, state)] == ["phx_reply", "presence_state"]
    assert list(there.values()) == [[{"n": 1}]]


async def test_many_changes_are_told_together_and_only_the_last_of_each_member(phoenix):
    async with phoenix() as watcher, phoenix() as client:
        await enter(watcher)
        joined = await client.join(ROOM, presence={"key": "zoe"})
        for number in range(20):
            await client.push(ROOM, "presence", track(n=number), join_ref=joined)
        diffs = [await diff(watcher)]
        while without_refs(diffs[-1][0]) != {"zoe": [{"n": 19}]}:
            diffs.append(await diff(watcher))

    assert len(diffs) < 5
    there = set()
    for joins, leaves in diffs:
        there |= {meta["phx_ref"] for each in joins.values() for meta in each["metas"]}
        there -= {meta["phx_ref"] for each in leaves.values() for meta in each["metas"]}
    assert len(there) == 1


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"event": "track", "payload": [1]}, "must be a map"),
        ({"event": "track", "payload": {"x": "y" * MAX_META_BYTES}}, "size exceeded"),
        ({"event": "dance"}, "not known"),
        ({}, "not known"),
        ("x", "not known"),
    ],
)
async def test_mistake_is_answered(phoenix, payload, reason):
    async with phoenix() as client:
        joined, _ = await enter(client)
        answer = await client.ask(ROOM, "presence", payload, join_ref=joined)
        assert await client.is_silent()

    assert answer["status"] == "error"
    assert reason in answer["response"]["reason"]


@pytest.mark.parametrize("key", ["ids", "x" * 256])
async def test_key_that_would_break_a_client_is_refused(phoenix, key):
    async with phoenix() as client:
        answer = await client.ask(ROOM, "phx_join", {"config": {"presence": {"key": key}}})

    assert answer["status"] == "error"


async def test_private_channel_says_who_may_see_and_say_that_they_are_there(phoenix):
    before = list(_rules)
    private_channels("watched")(lambda user: Allowed(read_broadcasts=True, write_presence=True))
    private_channels("open")(lambda user: Allowed(read_presence=True))
    try:
        async with phoenix() as blind, phoenix() as mute:
            joined = await blind.join("realtime:watched", private=True, presence={"enabled": True})
            await blind.ask("realtime:watched", "presence", track(n=1), join_ref=joined)
            assert await blind.is_silent()
            joined = await mute.join("realtime:open", private=True, presence={"enabled": True})
            assert (await mute.receive())[3] == "presence_state"
            answer = await mute.ask("realtime:open", "presence", track(n=1), join_ref=joined)
    finally:
        _rules[:] = before

    assert answer["status"] == "error"
