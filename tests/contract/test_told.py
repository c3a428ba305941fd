"""Frames that no other test receives, on the sockets that send them."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async

from accounts.models import User
from notifications.services import notify
from tests.factories import make_conversation


@sync_to_async
def publish_listing(user: User) -> None:
    notify(user=user, kind="listing_published", data={"listing_id": 7})


@sync_to_async
def rename(user: User, name: str) -> None:
    user.username = name
    user.save()


async def test_every_kind_of_the_guide_is_told_in_the_inbox(ana: User, connect: Any) -> None:
    async with connect(ana, "/ws/notifications/?v=1") as socket, connect(ana, "/ws/") as native:
        await socket.receive_until("subscribed")
        await native.receive_until("hello")
        await native.send({"type": "subscribe", "topic": "inbox"})
        await native.receive_until("subscribed")
        await publish_listing(ana)

        assert (await socket.receive_until("listing_published"))["data"] == {"listing_id": 7}
        assert (await native.receive_until("listing_published"))["topic"] == "inbox"


async def test_new_name_is_told_on_the_native_socket(ana: User, bruno: User, connect: Any) -> None:
    conversation = await sync_to_async(make_conversation)(ana, bruno)
    async with connect(ana, "/ws/") as native:
        await native.receive_until("hello")
        await native.send({"type": "subscribe", "topic": f"conversation.{conversation.pk}"})
        await native.receive_until("subscribed")
        await rename(bruno, "bruno-b")

        assert (await native.receive_until("member_renamed"))["username"] == "bruno-b"
