"""An inbox that was restored, or taken over without the last commits: no client goes on from an old
position."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from accounts import services as accounts
from accounts.models import User
from chat import services as chat
from chat.events import conversation_topic
from notifications.models import Notification
from realtime import log, publishing
from realtime.hub.hub import Hub
from realtime.log.retention import prune_all
from realtime.models import LoggedEvent, Topic
from realtime.testing import eventually, position_at
from tests.chat.speaking import say
from tests.factories import make_conversation
from tests.notifications.conftest import SOCKET, Tell, own


def restore(topic: str, seq: int) -> None:
    """Put the log of a topic back to the moment when this was its head."""
    Notification.objects.all().delete()
    LoggedEvent.objects.filter(topic__name=topic, seq__gt=seq).delete()
    Topic.objects.filter(name=topic).update(head=seq, floor=0)


def is_known(hub: Hub, topic: str) -> bool:
    """Whether the hub has looked at a topic since somebody subscribed to it."""
    audience = hub.audience(topic)
    return audience is not None and audience.mark != ""


async def place(user: User, seq: int) -> str:
    return await sync_to_async(position_at)(own(user), seq)


@pytest.fixture
def in_silence(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Do something whose bells are lost."""

    def run(work: Any, **arguments: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(publishing, "deliver", lambda events: None)
            work(**arguments)

    return sync_to_async(run)


@pytest.mark.parametrize("since", [2, 3])
async def test_position_of_what_a_restore_lost_is_a_resync(
    ana: User, connect: Any, tell: Tell, since: int
) -> None:
    for payment_id in range(3):
        await tell(ana, payment_id)
    position = await place(ana, since)
    await sync_to_async(restore)(own(ana), 1)
    for payment_id in range(10, 13):
        await tell(ana, payment_id)

    async with connect(ana, f"{SOCKET}?since={position}") as socket:
        assert await socket.receive() == {
            "type": "resync",
            "reason": "unknown_position",
            "url": "/api/notifications/",
            "position": await place(ana, 4),
        }
        await tell(ana, 99)
        live = await socket.receive()
        assert live["data"] == {"payment_id": 99}
    async with connect(ana, f"{SOCKET}?since={live['position']}") as again:
        assert (await again.receive())["resumed"] is True


async def test_position_from_after_everything_expired_is_a_resync(
    ana: User, connect: Any, tell: Tell, settings: Any
) -> None:
    """A client that was told nothing for a month goes on from a position that has a mark, too."""
    settings.RELAIS = {"log_retention": {"user.": (30, None)}}
    for payment_id in range(3):
        await tell(ana, payment_id)
    await sync_to_async(LoggedEvent.objects.update)(created_at=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
    await sync_to_async(prune_all)()
    async with connect(ana, f"{SOCKET}?since=") as socket:
        position = (await socket.receive())["position"]
    await sync_to_async(restore)(own(ana), 1)
    for payment_id in range(10, 13):
        await tell(ana, payment_id)

    async with connect(ana, f"{SOCKET}?since={position}") as socket:
        answer = await socket.receive()

    assert (answer["type"], answer.get("reason")) == ("resync", "unknown_position")


async def test_position_of_another_user_is_a_resync(ana: User, bruno: User, connect: Any, tell: Tell) -> None:
    for user in (ana, bruno):
        for payment_id in range(2):
            await tell(user, payment_id)

    for since in (1, 2):
        async with connect(ana, f"{SOCKET}?since={await place(bruno, since)}") as socket:
            assert (await socket.receive())["reason"] == "unknown_position"


async def test_inbox_names_the_position_to_go_on_from(
    ana: User, connect: Any, tell: Tell, signed_in: Any
) -> None:
    await tell(ana, 1)
    page = await sync_to_async(lambda: signed_in(ana).get("/api/notifications/").json())()
    await tell(ana, 2)

    async with connect(ana, f"{SOCKET}?since={page['last_position']}") as socket:
        assert (await socket.receive())["data"] == {"payment_id": 2}
        subscribed = await socket.receive()
    assert (subscribed["type"], subscribed["position"]) == ("subscribed", await place(ana, 2))


async def test_position_whose_event_was_pruned_is_too_old(ana: User, connect: Any, tell: Tell) -> None:
    for payment_id in range(3):
        await tell(ana, payment_id)
    position = await place(ana, 2)
    await sync_to_async(log.prune)(own(ana), up_to=2)

    async with connect(ana, f"{SOCKET}?since={position}") as socket:
        assert (await socket.receive())["reason"] == "too_old"


@pytest.mark.parametrize("query", ["", "?v=1"])
async def test_session_revoked_in_a_lost_place_ends_its_socket(
    ana: User, connect: Any, tell: Tell, hub: Hub, in_silence: Any, query: str
) -> None:
    for payment_id in range(2):
        await tell(ana, payment_id)
    async with connect(ana, SOCKET + query) as socket:
        await sync_to_async(restore)(own(ana), 1)
        await in_silence(accounts.revoke_all, user=ana)
        await hub._head_checks._check([own(ana)])

        assert await socket.receive_close() in (4401, 1012)


async def test_conversations_are_heard_on_as_far_as_that_is_allowed(
    ana: User, bruno: User, connect: Any, hub: Hub, in_silence: Any
) -> None:
    kept, lost = [await sync_to_async(make_conversation)(ana, bruno, title=title) for title in ("a", "b")]
    topics = [conversation_topic(each.pk) for each in (kept, lost)]
    for conversation in (kept, lost):
        for number in range(3):
            await sync_to_async(say)(conversation, ana, f"old {number}")
    async with connect(bruno, SOCKET) as socket:
        for topic in topics:
            await eventually(partial(is_known, hub, topic))
            await sync_to_async(LoggedEvent.objects.filter(topic__name=topic, seq__gt=1).delete)()
            await sync_to_async(Topic.objects.filter(name=topic).update)(head=1)
        await sync_to_async(kept.messages.filter(seq__gt=1).delete)()
        await sync_to_async(lost.messages.filter(seq__gt=1).delete)()
        await in_silence(chat.remove_member, conversation_id=lost.pk, by=ana, user_id=bruno.pk)
        for conversation in (kept, lost):
            for number in range(3):
                await in_silence(say, conversation=conversation, sender=ana, content=f"new {number}")
        await hub._head_checks._check(topics)
        await eventually(lambda: (there := hub.audience(topics[0])) and there.place.seq == 4)

        await sync_to_async(say)(lost, ana, "not for Bruno")
        await sync_to_async(say)(kept, ana, "for Bruno")
        notices = []
        while len(notices) < 1 or not await socket.receives_nothing():
            notices.append((await socket.receive())["data"]["conversation_id"])
    assert set(notices) == {kept.pk}
