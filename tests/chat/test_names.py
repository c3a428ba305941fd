"""A member is renamed: open sockets use the new name, and the conversations are told."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections, transaction
from django.test import Client
from django.urls import reverse

from accounts.models import User
from accounts.services import update_profile
from chat import services
from chat.events import conversation_topic
from chat.services import names
from notifications.services import notify
from realtime.testing import eventually, position_at
from tests.chat.speaking import aside, chat_path, head_of, logged, say
from tests.factories import make_conversation

pytestmark = pytest.mark.django_db(transaction=True)


def rename(user: User, name: str) -> None:
    """Rename a user as a shell or other code does; the admin's form ends in the same `save`."""
    stored = User.objects.get(pk=user.pk)
    stored.username = name
    stored.save()


async def known_as(hub, user: User, name: str) -> None:
    """Wait until the sockets of this process know the new name."""
    sockets = [socket for socket in hub.sockets if socket.user_id == user.pk]
    assert sockets
    await eventually(lambda: {socket.user.username for socket in sockets} == {name})


async def test_open_sockets_speak_under_the_new_name(ana, bruno, conversation, connect, hub):
    async with (
        connect(ana, chat_path(conversation)) as speaker,
        connect(ana, f"/ws/typing/{conversation.pk}/") as typist,
        connect(bruno, chat_path(conversation)) as listener,
        connect(bruno, f"/ws/typing/{conversation.pk}/") as watcher,
        connect(bruno, "/ws/notifications/") as bell,
    ):
        await aside(rename)(ana, "anabel")
        await known_as(hub, ana, "anabel")
        await typist.send({"is_typing": True})
        assert (await watcher.receive())["username"] == "anabel"
        await speaker.send({"message": "Bonjour"})

        assert (await listener.receive())["sender_username"] == "anabel"
        assert "anabel" in (await bell.receive())["message"]


async def test_guide_clients_are_told_nothing_and_v1_clients_the_new_name(ana, bruno, conversation, connect):
    async with (
        connect(bruno, chat_path(conversation)) as guide,
        connect(ana, chat_path(conversation)) as own,
        connect(bruno, "/ws/notifications/?v=1") as bell,
        connect(bruno, f"/ws/typing/{conversation.pk}/?v=1") as typing,
        connect(bruno, chat_path(conversation, "?v=1")) as v1,
    ):
        await bell.receive_until("subscribed")
        await aside(rename)(ana, "anabel")

        assert await v1.receive_until("member_renamed") == {
            "type": "member_renamed",
            "user_id": ana.pk,
            "username": "anabel",
            "conversation_id": conversation.pk,
            "seq": 1,
            "position": await aside(position_at)(conversation_topic(conversation.pk), 1),
        }
        for silent in (guide, own, bell, typing):
            assert await silent.receives_nothing()


async def test_member_who_was_away_is_told_the_new_name_from_the_log(ana, bruno, conversation, connect):
    await aside(say)(conversation, ana, "before")
    await aside(rename)(ana, "anabel")

    async with connect(bruno, chat_path(conversation, "?since=1")) as back:
        assert (await back.receive())["type"] == "member_renamed"
        assert (await back.receive())["type"] == "subscribed"


async def test_socket_that_opens_while_it_happens_takes_the_new_name(ana, bruno, conversation, connect, hub):
    """The socket read its user, and the position of the user's own topic, before the change."""
    from accounts import socket_auth, tokens
    from realtime.database.batch_loader import BatchLoader

    def read_then_renamed(claims):
        found = tokens.identities_of(claims)
        rename(ana, "anabel")
        return found

    before, socket_auth.identity_of = socket_auth.identity_of, BatchLoader(read_then_renamed)
    try:
        async with connect(ana, chat_path(conversation)):
            await known_as(hub, ana, "anabel")
    finally:
        socket_auth.identity_of = before


def test_renaming_in_the_admin_is_told_once_and_another_change_is_not(ana, bruno, conversation, published):
    client = Client()
    client.force_login(User.objects.create_superuser("root", password="x"))
    url = reverse("admin:accounts_user_change", args=[ana.pk])
    page = client.get(url)
    form = {
        name: value for name, value in page.context["adminform"].form.initial.items() if value is not None
    } | {"date_joined_0": "2026-01-01", "date_joined_1": "00:00:00", "groups": [], "user_permissions": []}
    form.pop("last_login", None)
    published.clear()

    assert client.post(url, {**form, "username": "anabel"}).status_code == 302
    assert client.post(url, {**form, "username": "anabel", "first_name": "Ana"}).status_code == 302

    assert sorted(event["type"] for _, event in published) == ["member_renamed", "user_renamed"]


def test_saving_other_fields_tells_nothing(ana, conversation, published):
    update_profile(user=ana, first_name="Ana")
    ana.username = "somebody"
    ana.save(update_fields=["first_name"])

    assert published == []


def test_rename_that_is_rolled_back_is_not_told(ana, conversation, published):
    with transaction.atomic():
        rename(ana, "anabel")
        transaction.set_rollback(True)

    assert published == []
    assert logged(conversation) == []


def test_many_conversations_are_told_a_hundred_at_a_time(
    ana, bruno, published, monkeypatch, django_assert_max_num_queries
):
    monkeypatch.setattr(names, "TOLD_TOGETHER", 10)
    groups = [make_conversation(ana, bruno, title=f"{number}") for number in range(25)]
    published.clear()
    before = [head_of(group) for group in groups]
    User.objects.filter(pk=ana.pk).update(username="anabel")

    with django_assert_max_num_queries(40):  # in three transactions
        assert services.tell_new_name(user_id=ana.pk) == 25

    assert [head_of(group) for group in groups] == [head + 1 for head in before]
    assert len(published.of_type("member_renamed")) == 25


def test_new_name_of_a_former_member_is_not_told(ana, bruno, dora, group, published):
    services.remove_member(conversation_id=group.pk, by=ana, user_id=bruno.pk)
    published.clear()

    rename(bruno, "brunello")

    assert published.of_type("member_renamed") == []


@pytest.mark.timeout(120)
@pytest.mark.parametrize("deed", ["say", "notify", "invite"])
def test_renaming_and_what_concerns_the_user_lock_nobody_out(ana, bruno, conversation, patient, deed):
    """The rename holds the user's row, which a commit needs that holds a topic: both wait in one order."""
    deeds = {
        "say": lambda: say(conversation, ana),
        "notify": lambda: notify(user=ana, kind="payment_completed", data={"payment_id": 1}),
        "invite": lambda: make_conversation(bruno, ana, title="Another"),
    }
    done = threading.Event()

    def speak() -> int:
        said = 0
        try:
            while not done.is_set() or said < 20:
                deeds[deed]()
                said += 1
        finally:
            connections.close_all()
        return said

    def change() -> None:
        try:
            for number in range(20):
                rename(ana, f"ana{number}")
        finally:
            done.set()
            connections.close_all()

    with ThreadPoolExecutor(3) as pool:
        speaking = [pool.submit(speak) for _ in range(2)]
        pool.submit(change).result(timeout=100)
        assert all(each.result(timeout=100) >= 20 for each in speaking)

    assert sum('"member_renamed"' in body for body in logged(conversation)) == 20
