"""Changes in the admin are announced and deleted like any other, and refused beside the field."""

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from chat.models import Conversation, Message
from tests.chat.speaking import aside, chat_path, contents, logged, say
from tests.factories import make_user

CONVERSATIONS, MESSAGES = "/admin/chat/conversation/", "/admin/chat/message/"


@pytest.fixture
def root(db):
    return make_user("root", is_staff=True, is_superuser=True)


@pytest.fixture
def admin(root) -> Client:
    client = Client()
    client.force_login(root)
    return client


def conversation_form(conversation, **fields) -> dict[str, object]:
    return {
        "title": conversation.title,
        **({"opens_history": "on"} if conversation.opens_history else {}),
        "participants-TOTAL_FORMS": 0,
        "participants-INITIAL_FORMS": 0,
        **fields,
    }


async def test_new_title_is_told_to_open_sockets(ana, root, group, connect, admin):
    async with connect(ana, chat_path(group, "?v=1")) as socket:
        await socket.receive_until("subscribed")
        answer = await aside(admin.post)(
            f"{CONVERSATIONS}{group.pk}/change/", conversation_form(group, title="By staff")
        )
        event = await socket.receive()

    assert answer.status_code == 302
    assert (event["type"], event["title"], event["renamed_by"]) == (
        "conversation_renamed",
        "By staff",
        root.pk,
    )


def test_open_history_is_kept_and_an_unchanged_title_is_not_told(db, group, admin):
    admin.post(f"{CONVERSATIONS}{group.pk}/change/", conversation_form(group, opens_history="on"))

    assert Conversation.objects.get().opens_history
    assert logged(group) == []


async def test_moderated_words_are_told_to_open_sockets(ana, conversation, connect, admin):
    sent = await aside(say)(conversation, ana, "rude words")
    async with connect(ana, chat_path(conversation, "?v=1")) as socket:
        await socket.receive_until("subscribed")
        await aside(admin.post)(f"{MESSAGES}{sent.message_id}/change/", {"content": "[moderated]"})
        edited = await socket.receive()
        await aside(admin.post)(f"{MESSAGES}{sent.message_id}/delete/", {"post": "yes"})
        deleted = await socket.receive()

    assert (edited["type"], edited["content"], edited["message_id"]) == (
        "message_edited",
        "[moderated]",
        sent.message_id,
    )
    assert (deleted["type"], deleted["message_id"]) == ("message_deleted", sent.message_id)


def test_deleted_in_the_admin_is_buried_like_anywhere(db, ana, bruno, conversation, admin):
    """Messages are deleted one by one, and as a selection of which one was gone; the admin's own history
    keeps no text."""
    ids = [say(conversation, ana, f"rude words {n}").message_id for n in range(4)]
    admin.post(f"{MESSAGES}{ids[0]}/delete/", {"post": "yes"})
    answer = admin.post(MESSAGES, {"action": "delete_selected", "_selected_action": ids[:3], "post": "yes"})

    assert answer.status_code == 302
    assert contents(conversation) == ["", "", "", "rude words 3"]
    assert "rude words 0" not in "".join(logged(conversation))
    assert Message.objects.count() == 4
    assert not LogEntry.objects.filter(object_repr__contains="rude").exists()
    assert not LogEntry.objects.filter(change_message__contains="rude").exists()


@pytest.mark.parametrize("content", ["", "   ", "x" * 8001, "bell\x07"])
def test_words_that_nobody_may_send_are_refused_with_the_form(db, ana, conversation, admin, content):
    sent = say(conversation, ana, "fine")

    answer = admin.post(f"{MESSAGES}{sent.message_id}/change/", {"content": content})

    assert answer.status_code == 200
    assert "content" in answer.context["adminform"].form.errors
    assert contents(conversation) == ["fine"]


@pytest.mark.parametrize("title", ["bell\x07", "x" * 201])
def test_title_that_nobody_may_give_is_refused_with_the_form(db, group, admin, title):
    answer = admin.post(f"{CONVERSATIONS}{group.pk}/change/", conversation_form(group, title=title))

    assert answer.status_code == 200
    assert "title" in answer.context["adminform"].form.errors
    assert Conversation.objects.get().title == "Project"


def test_deleted_message_can_be_looked_at_and_not_changed(db, ana, conversation, admin):
    sent = say(conversation, ana, "rude words")
    admin.post(f"{MESSAGES}{sent.message_id}/delete/", {"post": "yes"})

    looked_at = admin.get(f"{MESSAGES}{sent.message_id}/change/")
    changed = admin.post(f"{MESSAGES}{sent.message_id}/change/", {"content": "back again"})
    again = admin.post(f"{MESSAGES}{sent.message_id}/delete/", {"post": "yes"})

    assert (looked_at.status_code, changed.status_code, again.status_code) == (200, 403, 302)
    assert contents(conversation) == [""]
    assert len(logged(conversation)) == 2


def test_nothing_is_made_or_removed_behind_the_members_backs(db, ana, conversation, admin):
    say(conversation, ana)
    statuses = [
        admin.get(f"{CONVERSATIONS}add/").status_code,
        admin.get(f"{MESSAGES}add/").status_code,
        admin.post(f"{CONVERSATIONS}{conversation.pk}/delete/", {"post": "yes"}).status_code,
    ]

    assert statuses == [403, 403, 403]
    assert Conversation.objects.exists()


def test_pages_are_shown_and_searched(db, ana, conversation, group, admin):
    sent = say(conversation, ana)
    for url in (
        CONVERSATIONS,
        f"{CONVERSATIONS}?q=ana",
        f"{CONVERSATIONS}{group.pk}/change/",
        MESSAGES,
        f"{MESSAGES}?q=ana",
        f"{MESSAGES}{sent.message_id}/change/",
    ):
        assert admin.get(url).status_code == 200, url


def test_staff_without_the_permission_changes_nothing(db, ana, conversation):
    client, sent = Client(), say(conversation, ana, "fine")
    client.force_login(make_user("clerk", is_staff=True))

    assert client.post(f"{MESSAGES}{sent.message_id}/change/", {"content": "mine"}).status_code == 403
    assert contents(conversation) == ["fine"]
