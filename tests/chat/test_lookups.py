"""A conversation is looked up by its id: the answer is that conversation or none, whatever happens
meanwhile."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from chat import selectors, services
from chat.models import Conversation, Participant
from tests.chat.speaking import say
from tests.factories import make_conversation

URL = "/api/conversations/"
ROUNDS = 30


@pytest.fixture
def older(ana, bruno) -> Conversation:
    """A conversation that Bruno keeps; its id is lower than that of the one he loses."""
    return make_conversation(ana, bruno, title="keeps")


@pytest.fixture
def lost(older, ana, bruno) -> Conversation:
    group = make_conversation(ana, bruno, title="comes and goes")
    services.change_role(conversation_id=group.pk, by=ana, user_id=bruno.pk, role="admin")
    return group


def come_and_go(group, ana, bruno, gone: threading.Event) -> None:
    try:
        for _ in range(ROUNDS):
            services.remove_member(conversation_id=group.pk, by=ana, user_id=bruno.pk)
            services.add_members(conversation_id=group.pk, by=ana, users=[bruno], role="admin")
    finally:
        gone.set()
        connections.close_all()


def ask_until(ask: Callable[[], Any], gone: threading.Event) -> list[Any]:
    answers = []
    try:
        while not gone.is_set():
            answers.append(ask())
    finally:
        connections.close_all()
    return answers


def test_member_who_comes_and_goes_is_shown_this_conversation_or_none(
    transactional_db, ana, bruno, older, lost, api, relais
):
    relais(limit_rest="off", limit_sends="off", limit_invitations="off")
    client, url = api(bruno), f"{URL}{lost.pk}/"
    asking = [
        lambda: client.get(url),
        lambda: client.patch(url, {"title": "comes and goes"}),
        lambda: client.get(f"{url}messages/"),
        lambda: client.get(f"{url}members/"),
        lambda: client.get(URL),
    ]
    gone = threading.Event()
    with ThreadPoolExecutor(len(asking) + 1) as threads:
        readers = [threads.submit(ask_until, ask, gone) for ask in asking]
        threads.submit(come_and_go, lost, ana, bruno, gone).result()
        got, renamed, history, members, listed = [reader.result() for reader in readers]

    for answer in [*got, *renamed]:
        assert answer.json().get("id", lost.pk) == lost.pk
    for answer in [*got, *renamed, *history, *members]:
        assert answer.status_code in (200, 404), answer.content
        assert answer.status_code == 200 or answer.json()["code"] == "not_a_participant"
    for answer in listed:
        assert older.pk in [row["id"] for row in answer.json()["results"]]


def removed_before(monkeypatch, module, name: str, group, ana, bruno) -> None:
    """Remove Bruno, and send a message, just before a function is called."""
    original = getattr(module, name)

    def remove_first(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(module, name, original)
        services.remove_member(conversation_id=group.pk, by=ana, user_id=bruno.pk)
        say(group, ana, "not for Bruno")
        return original(*args, **kwargs)

    monkeypatch.setattr(module, name, remove_first)


def test_member_removed_right_after_renaming_is_shown_no_other_conversation(
    db, ana, bruno, older, lost, api, monkeypatch
):
    Participant.objects.filter(conversation=lost, user=bruno).update(role="owner")
    rename = services.rename_conversation

    def rename_and_leave(**wish):
        renamed = rename(**wish)
        services.remove_member(conversation_id=lost.pk, by=ana, user_id=bruno.pk)
        return renamed

    monkeypatch.setattr(services, "rename_conversation", rename_and_leave)

    answer = api(bruno).patch(f"{URL}{lost.pk}/", {"title": "new"})

    assert (answer.status_code, answer.json()["code"]) == (404, "not_a_participant")


def test_member_removed_from_a_new_conversation_is_shown_no_other(db, ana, bruno, older, api, monkeypatch):
    open_conversation = services.open_conversation

    def open_and_lose(**wish):
        made, is_new = open_conversation(**wish)
        Participant.objects.filter(conversation=made, user=bruno).delete()
        return made, is_new

    monkeypatch.setattr(services, "open_conversation", open_and_lose)

    answer = api(bruno).post(URL, {"participants": ["ana"], "title": "new"})

    assert (answer.status_code, answer.json()["code"]) == (404, "not_a_participant")


def test_history_shows_nothing_that_was_said_after_the_membership_was_looked_at(
    db, ana, bruno, lost, api, monkeypatch
):
    sent = say(lost, ana, "for both")
    url = f"{URL}{lost.pk}/messages/"
    history = selectors.history

    def after_a_message(membership, **page):
        say(lost, ana, "meanwhile")
        return history(membership, **page)

    monkeypatch.setattr(selectors, "history", after_a_message)
    page = api(bruno).get(url).json()
    assert [row["content"] for row in page["results"]] == ["for both"]
    assert page["last_seq"] == sent.seq

    monkeypatch.setattr(selectors, "history", history)
    removed_before(monkeypatch, selectors, "history", lost, ana, bruno)
    answer = api(bruno).get(url)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_a_participant")


def test_list_shows_no_text_that_was_edited_after_the_removal(db, ana, bruno, older, lost, api, monkeypatch):
    """The row was on the page when the page was put together; it is left out, and the next page is there."""
    from chat.selectors import conversations

    sent = say(lost, ana, "as Bruno knew it")
    said = conversations.shown_messages

    def removed_and_edited():
        services.remove_member(conversation_id=lost.pk, by=ana, user_id=bruno.pk)
        services.edit_message(
            conversation_id=lost.pk, message_id=sent.message_id, by=ana, content="not for Bruno"
        )
        return said()

    monkeypatch.setattr(conversations, "shown_messages", removed_and_edited)
    page = api(bruno).get(f"{URL}?limit=1").json()

    assert page["results"] == []
    monkeypatch.undo()
    following = api(bruno).get(page["next"]).json()
    assert [row["id"] for row in following["results"]] == [older.pk]


def test_members_are_looked_up_with_the_membership_itself(db, ana, bruno, clara, lost, api):
    """One statement reads both, so there is no moment between them."""
    client, costs = api(bruno), []
    for url in (f"{URL}{lost.pk}/members/", f"{URL}{lost.pk}/messages/"):
        with CaptureQueriesContext(connection) as queries:
            assert client.get(url).status_code == 200
        costs.append(sum("chat_" in query["sql"] for query in queries))

    assert costs == [1, 3]
    assert api(clara).get(f"{URL}{lost.pk}/members/").json()["code"] == "not_a_participant"


@pytest.mark.parametrize("title", ["", "group"])
def test_user_deleted_while_a_conversation_is_made_with_them_is_unknown(
    transactional_db, ana, bruno, api, monkeypatch, title
):
    deleted_before(monkeypatch, "open_conversation", bruno)

    answer = api(ana).post(URL, {"participants": ["bruno"], "title": title})

    assert (answer.status_code, answer.json()["code"]) == (400, "unknown_user")
    assert not Conversation.objects.exists()


def test_user_deleted_while_they_are_added_is_unknown(transactional_db, ana, bruno, dora, api, monkeypatch):
    group = make_conversation(ana, dora, title="group")
    deleted_before(monkeypatch, "add_members", bruno)

    answer = api(ana).post(f"{URL}{group.pk}/members/", {"participants": ["bruno"]})

    assert (answer.status_code, answer.json()["code"]) == (400, "unknown_user")
    assert Participant.objects.filter(conversation=group).count() == 2


def deleted_before(monkeypatch, verb: str, user) -> None:
    """Delete a user after they were looked up, and before the service begins."""
    original = getattr(services, verb)

    def delete_first(**wish):
        user.delete()
        return original(**wish)

    monkeypatch.setattr(services, verb, delete_first)
