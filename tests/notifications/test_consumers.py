"""The notifications socket: the frames for the guide's page, and the commands of a client that opted in."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError

from accounts import services as accounts
from accounts.models import User
from notifications import selectors, services
from notifications.models import Notification
from realtime import log, publishing
from realtime.hub import pages, window
from realtime.hub.hub import Hub
from realtime.testing import open_socket, position_at
from realtime.wire.outbox import Outbox
from tests.factories import make_user
from tests.notifications.conftest import SOCKET, Tell, own

V1 = SOCKET + "?v=1"


async def head(user: User) -> int:
    return (await sync_to_async(log.heads)([own(user)]))[own(user)]


async def position(user: User, seq: int) -> str:
    return await sync_to_async(position_at)(own(user), seq)


# --- the guide's page -------------------------------------------------------------------------------


async def test_notification_reaches_its_user_and_nobody_else(
    ana: User, clara: User, connect: Any, tell: Tell
) -> None:
    async with (
        connect(ana, SOCKET) as one,
        connect(ana, SOCKET) as another,
        connect(clara, SOCKET) as outsider,
    ):
        await tell(ana)

        frame = await one.receive()
        assert await another.receive() == frame
        assert await outsider.receives_nothing()

    assert list(frame)[:4] == ["type", "title", "message", "data"]
    assert (frame["type"], frame["title"]) == ("payment_completed", "Payment confirmed")
    assert frame["data"] == {"payment_id": 789}


async def test_notification_told_while_the_socket_opens_is_not_lost(
    ana: User, connect: Any, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(**asked: Any) -> Any:
        services.notify(user=ana, kind="payment_completed", data={"payment_id": 1})
        return following(**asked)

    following = selectors.following
    monkeypatch.setattr(selectors, "following", slowly)
    async with connect(ana, SOCKET) as socket:
        assert (await socket.receive())["data"] == {"payment_id": 1}


async def test_older_notifications_are_not_shown_again(ana: User, connect: Any, tell: Tell) -> None:
    await tell(ana, 1)
    async with connect(ana, SOCKET) as socket:
        await tell(ana, 2)

        assert (await socket.receive())["data"] == {"payment_id": 2}
        assert await socket.receives_nothing()


async def test_guides_page_is_shown_notifications_and_nothing_else(
    ana: User, connect: Any, tell: Tell
) -> None:
    async with connect(ana, SOCKET) as page, connect(ana, V1) as device:
        assert (await device.receive())["type"] == "subscribed"
        stored = await tell(ana, 1)
        await sync_to_async(services.mark_read)(user_id=ana.pk, ids=[stored.pk])
        await tell(ana, 2)

        assert [(await device.receive())["type"] for _ in range(3)] == [
            "payment_completed",
            "notifications_read",
            "payment_completed",
        ]
        assert [(await page.receive())["data"]["payment_id"] for _ in range(2)] == [1, 2]
        assert await page.receives_nothing()


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"read_all"}',
        '{"type":"read","ids":[1]}',
        '{"message":"Bonjour"}',
        '{"type":"nonsense"}',
        '{"type":["ping"]}',
        '{"type":{}}',
        "{",
        "[]",
        '"text"',
        "NaN",
    ],
)
async def test_guides_page_is_never_answered(ana: User, connect: Any, tell: Tell, text: str) -> None:
    async with connect(ana, SOCKET) as page:
        stored = await tell(ana)
        await page.receive()

        await page.send_text(text)

        assert await page.receives_nothing()
        await tell(ana)
        assert (await page.receive())["type"] == "payment_completed"
    assert (await Notification.objects.aget(pk=stored.pk)).read_at is None


async def test_refused_page_is_closed_without_a_frame(ana: User, hub: Hub, transactional_db: None) -> None:
    async with open_socket(SOCKET) as page:
        message = await page._communicator.receive_output(5)

    assert (message["type"], message["code"]) == ("websocket.close", 4401)


async def test_page_that_floods_is_closed_without_a_frame(ana: User, connect: Any, settings: Any) -> None:
    settings.RELAIS = {**settings.RELAIS, "limit_mistakes": "3/min:3"}
    async with connect(ana, SOCKET) as page:
        for _ in range(4):
            await page.send_text("{")

        message = await page._communicator.receive_output(5)

    assert (message["type"], message["code"]) == ("websocket.close", 4400)


async def test_revocation_closes_the_socket(ana: User, connect: Any, tell: Tell) -> None:
    async with connect(ana, SOCKET) as page, connect(ana, V1) as device:
        await device.receive_until("subscribed")
        await sync_to_async(accounts.revoke_all)(user=ana)

        assert await page.receive_close() == 4401
        assert (await device.receive())["code"] == "session_revoked"
        assert await device.receive_close() == 4401


async def test_switch_of_the_users_own_is_shown_to_no_client(ana: User, connect: Any, tell: Tell) -> None:
    """It comes neither live nor after a resume; either page would show it, or stumble over it."""
    async with connect(ana, SOCKET) as page, connect(ana, V1) as device:
        await device.receive_until("subscribed")
        await sync_to_async(accounts.update_profile)(user=ana, shares_typing=False, shares_receipts=False)
        await tell(ana, 1)

        assert (await page.receive())["data"] == {"payment_id": 1}
        assert (await device.receive())["data"] == {"payment_id": 1}
        assert await page.receives_nothing()
        assert await device.receives_nothing()
    async with connect(ana, SOCKET + "?since=0") as again:
        assert [(await again.receive())["type"] for _ in range(2)] == ["payment_completed", "subscribed"]
        assert await again.receives_nothing()


async def test_french_reader_gets_french(connect: Any, transactional_db: None, tell: Tell) -> None:
    john = await sync_to_async(make_user)("john", language="fr")
    async with connect(john, SOCKET) as socket:
        await tell(john)

        assert (await socket.receive())["title"] == "Paiement confirmé"


# --- a client that opted in -------------------------------------------------------------------------


async def test_opened_socket_says_where_it_stands(ana: User, connect: Any, tell: Tell) -> None:
    await tell(ana)
    await tell(ana)
    async with connect(ana, V1) as socket:
        assert await socket.receive() == {
            "type": "subscribed",
            "seq": 2,
            "position": await position(ana, 2),
            "resumed": False,
            "unread_count": 2,
        }
        assert await socket.receives_nothing()


async def test_subprotocol_opts_in_too(ana: User, connect: Any) -> None:
    async with connect(ana, SOCKET, subprotocols=["relais.v1"]) as socket:
        assert socket.subprotocol == "relais.v1"
        assert (await socket.receive())["type"] == "subscribed"


async def test_reading_on_one_device_reaches_the_others(
    ana: User, bruno: User, connect: Any, tell: Tell
) -> None:
    first, second = await tell(ana), await tell(ana)
    await tell(bruno)
    async with connect(ana, V1) as phone, connect(ana, V1) as laptop, connect(bruno, V1) as other:
        for socket in (phone, laptop, other):
            await socket.receive_until("subscribed")

        await phone.send({"type": "read", "ids": [first.pk]})
        told = await laptop.receive()
        expected = {"type": "notifications_read", "ids": [first.pk], "unread_count": 1, "seq": 3}
        assert told == {**expected, "position": await position(ana, 3)}
        assert await phone.receive() == told

        await laptop.send({"type": "read_all", "ref": "all"})
        told = [await laptop.receive(), await laptop.receive()]
        assert {"type": "ack", "ref": "all", "unread_count": 0} in told
        assert (await phone.receive())["ids"] is None
        assert await other.receives_nothing()
    assert [row async for row in Notification.objects.filter(user=ana, read_at=None)] == []
    assert await Notification.objects.filter(user=bruno, read_at=None).acount() == 1
    assert second.pk


async def test_command_with_a_ref_is_acknowledged_even_when_nothing_changes(ana: User, connect: Any) -> None:
    async with connect(ana, V1) as socket:
        await socket.receive_until("subscribed")
        await socket.send({"type": "read", "ids": [10**9], "ref": 7})

        assert await socket.receive() == {"type": "ack", "ref": 7, "unread_count": 0}


async def test_command_with_a_ref_opts_in(ana: User, connect: Any, tell: Tell) -> None:
    async with connect(ana, SOCKET) as socket:
        stored = await tell(ana)
        await socket.receive()
        await socket.send({"type": "read", "ids": [stored.pk], "ref": 1})

        assert {(await socket.receive())["type"], (await socket.receive())["type"]} == {
            "notifications_read",
            "ack",
        }


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "read"},
        {"type": "read", "ids": []},
        {"type": "read", "ids": 1},
        {"type": "read", "ids": ["1"]},
        {"type": "read", "ids": [True]},
        {"type": "read", "ids": [0]},
        {"type": "read", "ids": [2**53]},
        {"type": "read", "ids": [10**30]},
        {"type": "read", "ids": list(range(1, 202))},
        {"type": "unheard of"},
        {"type": ["read"]},
        {},
    ],
)
async def test_command_that_does_not_fit_is_answered_and_the_socket_lives(
    ana: User, connect: Any, tell: Tell, frame: dict[str, Any]
) -> None:
    async with connect(ana, V1) as socket:
        await socket.receive_until("subscribed")
        await socket.send_wrong({**frame, "ref": 1})

        answer = await socket.receive()
        assert (answer["type"], answer["code"], answer["ref"]) == ("error", "invalid_frame", 1)
        await tell(ana)
        assert (await socket.receive())["type"] == "payment_completed"


# --- resuming ---------------------------------------------------------------------------------------


async def test_resume_tells_what_was_missed_byte_for_byte(ana: User, connect: Any, tell: Tell) -> None:
    async with connect(ana, V1) as socket:
        await socket.receive_until("subscribed")
        first = await tell(ana, 1)
        await tell(ana, 2)
        await sync_to_async(services.mark_read)(user_id=ana.pk, ids=[first.pk])
        live = [await socket.receive_text() for _ in range(3)]

    async with connect(ana, SOCKET + "?since=1") as socket:
        replayed = [await socket.receive_text() for _ in range(2)]
        assert await socket.receive() == {
            "type": "subscribed",
            "seq": 3,
            "position": await position(ana, 3),
            "resumed": True,
            "unread_count": 1,
        }
        await tell(ana, 3)
        assert (await socket.receive())["seq"] == 4

    assert replayed == live[1:]


async def test_resume_from_the_head_tells_nothing_twice(ana: User, connect: Any, tell: Tell) -> None:
    await tell(ana)
    async with connect(ana, SOCKET + "?since=1") as socket:
        assert await socket.receive() == {
            "type": "subscribed",
            "seq": 1,
            "position": await position(ana, 1),
            "resumed": True,
            "unread_count": 1,
        }
        assert await socket.receives_nothing()


async def test_resume_passes_over_what_notifications_are_not_about(
    ana: User, connect: Any, tell: Tell
) -> None:
    await sync_to_async(accounts.revoke_all)(user=ana)
    await tell(ana)
    async with connect(ana, SOCKET + "?since=0") as socket:
        # Signing out everywhere happened before this sign-in: it neither closes the socket nor is shown.
        assert [(await socket.receive())["type"] for _ in range(2)] == ["payment_completed", "subscribed"]
        assert await socket.receives_nothing()


@pytest.mark.parametrize("since", ["", "3", "99999999999999999999", "-1", "1.0", "abc", "٣", "0x1", "+1"])
async def test_position_nobody_was_ever_at_is_a_resync(
    ana: User, connect: Any, tell: Tell, since: str
) -> None:
    await tell(ana)
    await tell(ana)
    async with connect(ana, f"{SOCKET}?since={since}") as socket:
        assert await socket.receive() == {
            "type": "resync",
            "reason": "unknown_position",
            "url": "/api/notifications/",
            "position": await position(ana, 2),
        }
        await tell(ana, 7)
        assert (await socket.receive())["data"] == {"payment_id": 7}


async def test_position_that_was_pruned_is_a_resync(ana: User, connect: Any, tell: Tell) -> None:
    for payment_id in range(4):
        await tell(ana, payment_id)
    await sync_to_async(log.prune)(own(ana), up_to=2)

    async with connect(ana, SOCKET + "?since=1") as socket:
        assert (await socket.receive())["reason"] == "too_old"
        assert await socket.receives_nothing()
    async with connect(ana, SOCKET + "?since=2") as socket:
        assert [json.loads(await socket.receive_text()).get("seq") for _ in range(3)] == [3, 4, 4]


async def test_inbox_then_resume_leaves_no_gap(ana: User, connect: Any, tell: Tell, signed_in: Any) -> None:
    await tell(ana, 1)
    page = await sync_to_async(lambda: signed_in(ana).get("/api/notifications/").json())()
    await tell(ana, 2)

    async with connect(ana, f"{SOCKET}?since={page['last_seq']}") as socket:
        assert (await socket.receive())["data"] == {"payment_id": 2}
    assert [row["data"] for row in page["results"]] == [{"payment_id": 1}]


async def test_counted_notifications_are_shown_before_the_count(
    ana: User, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def while_another_arrives(user_id: int) -> Any:
        if not arrived:
            with monkeypatch.context() as silence:
                silence.setattr(publishing, "deliver", lambda events: None)  # its bell is lost, too
                arrived.append(services.notify(user=ana, kind="payment_completed", data={"payment_id": 1}))
        return standing(user_id)

    arrived: list[Notification] = []
    standing = selectors.standing
    monkeypatch.setattr(selectors, "standing", while_another_arrives)
    async with connect(ana, V1) as socket:
        assert (await socket.receive())["id"] == arrived[0].pk
        assert await socket.receive() == {
            "type": "subscribed",
            "seq": 1,
            "position": await position(ana, 1),
            "resumed": False,
            "unread_count": 1,
        }


async def test_counted_notifications_that_wait_to_be_written_are_shown_before_the_count(
    ana: User, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def while_others_arrive(user_id: int) -> Any:
        if not arrived:  # the second one waits for the window that the first has opened
            arrived.extend(
                services.notify(user=ana, kind="payment_completed", data={"payment_id": payment_id})
                for payment_id in range(2)
            )
        return standing(user_id)

    arrived: list[Notification] = []
    standing = selectors.standing
    monkeypatch.setattr(selectors, "standing", while_others_arrive)
    monkeypatch.setattr(window, "MIN_SECONDS", 1.0)
    monkeypatch.setattr(window, "MAX_SECONDS", 1.0)
    async with connect(ana, V1) as socket:
        assert [(await socket.receive()).get("id") for _ in range(2)] == [entry.pk for entry in arrived]
        assert await socket.receive() == {
            "type": "subscribed",
            "seq": 2,
            "position": await position(ana, 2),
            "resumed": False,
            "unread_count": 2,
        }


async def test_socket_that_fell_behind_says_where_it_is_when_it_was_told_what_is_counted(
    ana: User, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a client whose line is cut before it caught up would resume past events it was never told."""

    def while_there_is_no_room(user_id: int) -> Any:
        if not arrived:
            arrived.append(services.notify(user=ana, kind="payment_completed", data={"payment_id": 1}))
        return standing(user_id)

    def has_room_later(outbox: Outbox, batch: Any) -> bool:
        return room.is_set() and push_batch(outbox, batch)

    async def read_later(place: pages.PageKey) -> pages.Page:
        await room.wait()
        return await read_page(place)

    arrived: list[Notification] = []
    room = asyncio.Event()
    standing, push_batch, read_page = selectors.standing, Outbox.push_batch, pages.read_page
    monkeypatch.setattr(selectors, "standing", while_there_is_no_room)
    monkeypatch.setattr(Outbox, "push_batch", has_room_later)
    monkeypatch.setattr(pages, "read_page", read_later)
    async with connect(ana, V1) as socket:
        assert await socket.receives_nothing()
        room.set()

        assert (await socket.receive())["id"] == arrived[0].pk
        assert await socket.receive() == {
            "type": "subscribed",
            "seq": 1,
            "position": await position(ana, 1),
            "resumed": False,
            "unread_count": 1,
        }
        assert await socket.receives_nothing()


async def test_database_that_is_away_sends_the_client_away_for_a_moment(
    ana: User, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(user_id: int) -> Any:
        raise OperationalError("the database is away")

    monkeypatch.setattr(selectors, "standing", away)
    async with connect(ana, V1) as socket:
        error = await socket.receive()
        assert (error["code"], error["retryable"]) == ("unavailable", True)
        assert await socket.receive_close() == 4503
