"""Notices from other apps' topics: worded once per language, not stored, sent to all but their author."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from accounts.models import User
from chat import services as chat
from chat.events import conversation_topic
from notifications import consumers, kinds, selectors, sources
from notifications import following as followed
from notifications.models import Notification
from notifications.sources import NoticeRendering, register_source, topics_for
from realtime import log, publishing
from realtime.events import Delivery, encode
from realtime.hub import audience
from realtime.hub.hub import Hub
from realtime.hub.pages import Page, PageKey, page_after
from realtime.publishing import publish_on_commit
from realtime.testing import eventually
from tests.chat.speaking import say
from tests.factories import make_conversation, make_user
from tests.notifications.conftest import SOCKET, BallKicked, TeamJoined, Teams, Tell, own

TEAM = "team.1"


async def publish(topic: str, event: Any) -> None:
    await sync_to_async(publish_on_commit)(topic, event)


async def kick(by: User, topic: str = TEAM) -> None:
    await publish(topic, BallKicked(by=by.pk, name=by.username))


def kicked(seq: int = 1, *, by: int = 1, name: str = "John") -> Delivery:
    return Delivery(TEAM, seq, encode(BallKicked(by=by, name=name, seq=seq)))


async def listens(hub: Hub, topic: str, sockets: int = 1) -> None:
    """Wait until so many sockets hear a topic; a guide's client is not told when it does."""

    def live() -> int:
        heard = hub.audience(topic)
        return len({each.socket for group in heard.live.values() for each in group}) if heard else 0

    await eventually(lambda: live() == sockets)


# --- words ------------------------------------------------------------------------------------------


def test_notice_is_the_guides_frame_and_no_more(teams: Teams) -> None:
    [frame] = NoticeRendering(teams, "fr").render([kicked()])

    assert frame.payload == (
        '{"type":"message_received","title":"Nouveau message",'
        '"message":"John a envoyé un message","data":{"conversation_id":1}}'
    )


def test_event_that_means_nothing_is_not_told(teams: Teams) -> None:
    other = Delivery(TEAM, 1, '{"type":"test_whistle"}')

    assert list(NoticeRendering(teams, "fr").render([other])) == []


def test_source_is_asked_once_for_an_event_and_language(teams: Teams) -> None:
    rendering = NoticeRendering(teams, "en")

    for delivery in (kicked(1), kicked(2)):
        [frame] = rendering.render([delivery])
        assert frame.left_out == (1,)

    assert teams.noticed == [1, 2]


def test_everybody_of_one_language_has_the_same_rendering(teams: Teams) -> None:
    assert NoticeRendering(teams, "en") == NoticeRendering(teams, "en")
    assert NoticeRendering(teams, "en") != NoticeRendering(teams, "fr")


async def test_source_that_fails_keeps_nobody_from_anything(
    everyone: list[User],
    teams: Teams,
    connect: Any,
    hub: Hub,
    tell: Tell,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ana, bruno, _ = everyone
    async with connect(bruno, SOCKET) as socket:
        await listens(hub, TEAM)
        with monkeypatch.context() as broken:
            broken.delitem(kinds._kinds, "message_received")
            await kick(by=ana)
            await eventually(lambda: (team := hub.audience(TEAM)) and team.position == 1)
        await tell(bruno)
        await kick(by=ana)

        assert [(await socket.receive())["type"] for _ in range(2)] == [
            "payment_completed",
            "message_received",
        ]


def test_source_is_registered_once(teams: Teams) -> None:
    before = list(sources._sources)

    register_source(teams)

    assert sources._sources == before


@pytest.mark.django_db
def test_topics_of_all_sources_share_one_limit(teams: Teams, ana: User, bruno: User) -> None:
    other = Teams()
    other.topics = lambda user_id, limit: {f"other.{n}": n for n in range(5)}  # type: ignore[method-assign]
    register_source(other)
    teams.members = {ana.pk}
    make_conversation(ana, bruno)

    found = topics_for(ana.pk, limit=4)

    assert [topic for _, topic, _ in found][1:] == ["team.1", "other.0", "other.1"]
    assert topics_for(ana.pk, limit=1) == found[:1]


# --- on sockets -------------------------------------------------------------------------------------


@pytest.fixture
async def everyone(ana: User, bruno: User, clara: User, teams: Teams) -> list[User]:
    """Ana, Bruno and a French speaker in team 1; Clara is a stranger to it."""
    john = await sync_to_async(make_user)("john", language="fr")
    teams.members = {ana.pk, bruno.pk, john.pk}
    return [ana, bruno, john]


async def test_notice_reaches_everyone_but_its_author_and_strangers(
    everyone: list[User], clara: User, teams: Teams, connect: Any, hub: Hub, tell: Tell
) -> None:
    ana, bruno, john = everyone
    async with (
        connect(ana, SOCKET) as author,
        connect(bruno, SOCKET) as english,
        connect(john, SOCKET) as french,
        connect(clara, SOCKET) as stranger,
    ):
        await listens(hub, TEAM, 3)
        await kick(by=ana)

        frame = await english.receive()
        assert (await french.receive())["message"] == "ana a envoyé un message"
        assert await author.receives_nothing()
        assert await stranger.receives_nothing()
        await tell(clara)  # she would have heard an earlier notice by now
        assert (await stranger.receive())["type"] == "payment_completed"

    assert frame == {
        "type": "message_received",
        "title": "New message",
        "message": "ana sent a message",
        "data": {"conversation_id": 1},
    }
    assert not await Notification.objects.filter(kind="message_received").aexists()
    assert teams.noticed == [1, 1]  # once per language, not per socket


async def test_socket_hears_from_the_moment_it_is_open_and_nothing_older(
    everyone: list[User], teams: Teams, connect: Any, hub: Hub
) -> None:
    ana, bruno, _ = everyone
    await kick(by=ana)
    teams.head = (await sync_to_async(log.heads)([TEAM]))[TEAM]
    async with connect(bruno, SOCKET) as socket:
        await listens(hub, TEAM)
        await kick(by=ana)

        assert (await socket.receive())["message"] == "ana sent a message"
        assert await socket.receives_nothing()


@pytest.mark.parametrize("query", ["", "?v=1"])
async def test_socket_follows_its_user_into_a_new_topic_from_its_first_event(
    ana: User, bruno: User, teams: Teams, connect: Any, hub: Hub, query: str
) -> None:
    async with connect(bruno, SOCKET + query) as socket:
        if query:
            await socket.receive_until("subscribed")
        await listens(hub, own(bruno))
        # The topic has its first event before the socket knows that it may hear the topic.
        await kick(by=ana, topic="team.2")
        await kick(by=ana, topic="team.2")
        await publish(own(bruno), TeamJoined(team=2, after=1))

        assert (await socket.receive())["message"] == "ana sent a message"
        await kick(by=bruno, topic="team.2")
        await kick(by=ana, topic="team.2")
        assert (await socket.receive())["message"] == "ana sent a message"
        assert await socket.receives_nothing()


@pytest.mark.parametrize("when", ["before its topics are read", "after its topics are read"])
async def test_topic_joined_while_the_socket_opens_is_heard_once(
    everyone: list[User], teams: Teams, connect: Any, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    ana, _, john = everyone
    teams.members = set()
    await kick(by=ana)

    def while_joining(**asked: Any) -> Any:
        heard = following(**asked) if when.startswith("after") else None
        teams.members, teams.head = {john.pk}, 1
        # In the first case the database says already that the one kick is in the past.
        publish_on_commit(own(john), TeamJoined(team=1, after=1 if heard else 0))
        return heard or following(**asked)

    following = selectors.following
    monkeypatch.setattr(selectors, "following", while_joining)
    async with connect(john, SOCKET + "?v=1") as socket:
        assert (await socket.receive())["type"] == "subscribed"
        await kick(by=ana)

        assert (await socket.receive())["message"] == "ana a envoyé un message"
        assert await socket.receives_nothing()


async def test_topic_joined_before_the_socket_opened_is_not_joined_again_by_a_resume(
    everyone: list[User], teams: Teams, connect: Any
) -> None:
    ana, bruno, _ = everyone
    await publish(own(bruno), TeamJoined(team=1, after=0))
    await kick(by=ana)
    # And left since: the source no longer names the team.
    await publish(own(bruno), TeamJoined(team=7, after=0))
    await kick(by=ana, topic="team.7")
    teams.head = 1

    async with connect(bruno, SOCKET + "?since=0") as socket:
        assert (await socket.receive())["type"] == "subscribed"
        await kick(by=ana, topic="team.7")
        assert await socket.receives_nothing()
        await kick(by=ana)
        assert (await socket.receive())["type"] == "message_received"


async def test_socket_that_was_detached_hears_no_more_and_may_come_back(
    everyone: list[User], teams: Teams, connect: Any, hub: Hub
) -> None:
    ana, bruno, _ = everyone
    async with connect(bruno, SOCKET + "?v=1") as socket:
        await socket.receive_until("subscribed")
        (subscriber,) = hub.audience(TEAM).subscriptions()  # type: ignore[union-attr]
        subscriber.lose_access()
        await kick(by=ana)
        assert await socket.receives_nothing()

        await publish(own(bruno), TeamJoined(team=1, after=1))
        await kick(by=ana)
        assert (await socket.receive())["type"] == "message_received"
        assert await socket.receives_nothing()


async def test_member_who_was_removed_and_added_again_is_noticed_from_there_on(
    ana: User, bruno: User, connect: Any, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The news of the new membership overtakes the removal, which waits for a message whose bell is lost."""

    async def read_later(place: PageKey, **options: Any) -> Page:
        await may_read.wait()
        return await page_after(place, **options)

    def leave_and_return() -> None:
        with monkeypatch.context() as silence:
            silence.setattr(publishing, "deliver", lambda events: None)
            say(group, bruno)
        chat.remove_member(conversation_id=group.pk, by=ana, user_id=bruno.pk)
        say(group, ana, "while Bruno is no member")
        chat.add_members(conversation_id=group.pk, by=ana, users=[bruno])

    may_read = asyncio.Event()
    group = await sync_to_async(make_conversation)(ana, bruno, title="Team")
    topic = conversation_topic(group.pk)
    async with connect(bruno, SOCKET) as socket:
        await listens(hub, topic)
        monkeypatch.setattr(audience, "page_after", read_later)
        await sync_to_async(leave_and_return)()
        head = (await sync_to_async(log.heads)([own(bruno)]))[own(bruno)]
        await eventually(lambda: (mine := hub.audience(own(bruno))) and mine.position == head)
        assert hub.audience(topic).position == 0  # type: ignore[union-attr]  # nothing of it was told
        may_read.set()

        assert await socket.receives_nothing()
        await sync_to_async(say)(group, ana)
        assert (await socket.receive())["data"] == {"conversation_id": group.pk}
        assert await socket.receives_nothing()

        await sync_to_async(chat.remove_member)(conversation_id=group.pk, by=ana, user_id=bruno.pk)
        await sync_to_async(say)(group, ana)
        assert await socket.receives_nothing()


async def test_socket_that_hears_enough_follows_nobody_into_more(
    ana: User, bruno: User, teams: Teams, connect: Any, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed, "MAX_TOPICS", 2)
    monkeypatch.setattr(consumers, "MAX_TOPICS", 2)
    async with connect(bruno, SOCKET + "?v=1") as socket:
        await socket.receive_until("subscribed")
        for team in (1, 2, 3):
            await publish(own(bruno), TeamJoined(team=team, after=0))
        await listens(hub, "team.2")

        for team in (3, 2, 1):
            await kick(by=ana, topic=f"team.{team}")
        assert [(await socket.receive())["type"] for _ in range(2)] == ["message_received"] * 2
        assert await socket.receives_nothing()
        assert hub.audience("team.3") is None


async def test_closed_socket_leaves_every_topic(everyone: list[User], connect: Any, hub: Hub) -> None:
    async with connect(everyone[0], SOCKET):
        await listens(hub, TEAM)

    assert hub.audience(TEAM) is None
    assert hub.audience(own(everyone[0])) is None


async def test_message_in_a_conversation_is_noticed_by_the_other_member(
    ana: User, bruno: User, clara: User, connect: Any, hub: Hub
) -> None:
    conversation = await sync_to_async(make_conversation)(ana, bruno)
    async with (
        connect(bruno, SOCKET) as member,
        connect(clara, SOCKET) as stranger,
        connect(ana, f"/ws/chat/{conversation.pk}/") as chat,
    ):
        await listens(hub, f"conversation.{conversation.pk}", 2)
        await chat.send({"message": "Bonjour"})

        assert await member.receive() == {
            "type": "message_received",
            "title": "New message",
            "message": "ana sent a message",
            "data": {"conversation_id": conversation.pk},
        }
        assert await stranger.receives_nothing()
