"""History over HTTP: the same seq as the sockets, paged both ways, read or unread for its viewer."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat import services
from chat.models import Message
from chat.services import Draft
from tests.chat.speaking import say, send


@pytest.fixture
def url(conversation) -> str:
    return f"/api/conversations/{conversation.pk}/messages/"


@pytest.fixture
def long_history(conversation, ana, bruno) -> list[int]:
    """120 messages and some events between them; the seqs of the messages."""
    for start in range(0, 120, 40):
        send(
            [
                Draft(conversation.pk, ana if number % 3 else bruno, f"message {number}")
                for number in range(start, start + 40)
            ]
        )
        edited = Message.objects.filter(sender=ana).latest("seq")
        services.edit_message(conversation_id=conversation.pk, message_id=edited.pk, by=ana, content="edited")
    return list(Message.objects.order_by("seq").values_list("seq", flat=True))


def seqs(page) -> list[int]:
    return [row["seq"] for row in page["results"]]


@pytest.mark.parametrize("limit", [7, 40, 50, 120, 200])
def test_paging_back_from_the_newest_is_the_table(db, bruno, long_history, api, url, limit):
    client, seen, next_url = api(bruno), [], f"{url}?limit={limit}"
    while next_url:
        page = client.get(next_url).json()
        assert page["last_seq"] == 123
        assert page["has_more"] == (page["next"] is not None)
        assert seqs(page) == sorted(seqs(page), reverse=True)
        seen += seqs(page)
        next_url = page["next"]

    assert seen == long_history[::-1]


@pytest.mark.parametrize("limit", [7, 50, 120])
def test_paging_forward_from_the_beginning_is_the_table(db, bruno, long_history, api, url, limit):
    client, seen, next_url = api(bruno), [], f"{url}?after=0&limit={limit}"
    while next_url:
        page = client.get(next_url).json()
        assert seqs(page) == sorted(seqs(page), reverse=True)
        seen += seqs(page)[::-1]
        next_url = page["previous"]

    assert seen == long_history


def test_first_page_is_fifty_and_the_newest(db, bruno, long_history, api, url):
    page = api(bruno).get(url).json()

    assert seqs(page) == long_history[:-51:-1]
    assert page["previous"] is None


def test_messages_between_two_positions(db, bruno, long_history, api, url):
    page = api(bruno).get(f"{url}?after=10&before=20").json()

    assert seqs(page) == [seq for seq in long_history if 10 < seq < 20][::-1]


@given(
    after=st.none() | st.integers(0, 130), before=st.none() | st.integers(0, 130), limit=st.integers(1, 200)
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_page_is_a_slice_of_the_table(db, bruno, long_history, api, url, after, before, limit, request):
    client = _one_client(request, api, bruno)
    query = "&".join(
        f"{name}={value}" for name, value in (("after", after), ("before", before)) if value is not None
    )
    page = client.get(f"{url}?limit={limit}&{query}").json()

    fitting = [
        seq for seq in long_history if (after is None or seq > after) and (before is None or seq < before)
    ]
    expected = fitting[:limit] if after is not None and before is None else fitting[-limit:]
    assert seqs(page) == expected[::-1]
    for link, beyond in (("next", "older"), ("previous", "newer")):
        if page[link] and page["results"]:
            found = seqs(client.get(page[link]).json())
            assert all(seq < expected[0] if beyond == "older" else seq > expected[-1] for seq in found)


def _one_client(request, api, user):
    from accounts.throttling import RestThrottle

    RestThrottle.buckets.clear()
    if not hasattr(request.node, "client"):
        request.node.client = api(user)
    return request.node.client


def test_page_beyond_either_end_is_empty(db, bruno, long_history, api, url):
    newest = api(bruno).get(f"{url}?after=123").json()
    oldest = api(bruno).get(f"{url}?before=1").json()

    assert (newest["results"], newest["previous"]) == ([], None)
    assert (oldest["results"], oldest["next"], oldest["has_more"]) == ([], None, False)


def test_page_costs_three_queries_however_deep(
    db, bruno, long_history, conversation, django_assert_max_num_queries
):
    from chat import selectors

    membership = selectors.membership_for(user_id=bruno.pk, conversation_id=conversation.pk)
    for position in (
        {"before": None, "after": None},
        {"before": 30, "after": None},
        {"before": None, "after": 0},
    ):
        with django_assert_max_num_queries(2):
            page = selectors.history(membership, limit=50, **position)
            assert [message.sender_username for message in page.messages]


def test_row_has_the_fields_of_the_sockets_message(db, ana, bruno, conversation, api, url):
    sent = say(conversation, ana, "Bonjour")

    [row] = api(bruno).get(url).json()["results"]

    assert row.pop("created_at").endswith("Z")
    assert row == {
        "type": "message",
        "message_id": sent.message_id,
        "sender_id": ana.pk,
        "sender_username": "ana",
        "content": "Bonjour",
        "is_read": False,
        "conversation_id": conversation.pk,
        "seq": 1,
        "client_id": None,
        "edited_at": None,
        "deleted_at": None,
    }


def test_is_read_is_the_viewers_in_all_four_cases(db, ana, bruno, dora, group, api):
    """Others' messages: up to my cursor. My own: up to the last of everybody else's."""
    for sender in (ana, bruno, ana, bruno):
        say(group, sender)
    services.mark_read(user_id=bruno.pk, conversation_id=group.pk, up_to_seq=3)
    services.mark_read(user_id=dora.pk, conversation_id=group.pk, up_to_seq=1)
    services.mark_read(user_id=ana.pk, conversation_id=group.pk, up_to_seq=2)

    def read_for(viewer) -> dict[int, bool]:
        rows = api(viewer).get(f"/api/conversations/{group.pk}/messages/").json()["results"]
        return {row["seq"]: row["is_read"] for row in rows}

    assert read_for(ana) == {1: True, 2: True, 3: False, 4: False}
    assert read_for(bruno) == {1: True, 2: False, 3: True, 4: False}
    assert read_for(dora) == {1: True, 2: False, 3: False, 4: False}


def test_own_message_with_nobody_to_read_it_is_unread(db, ana, api):
    alone = services.create_conversation(creator=ana, participants=[], title="notes")
    say(alone, ana)
    services.mark_read(user_id=ana.pk, conversation_id=alone.pk, up_to_seq=1)

    [row] = api(ana).get(f"/api/conversations/{alone.pk}/messages/").json()["results"]

    assert row["is_read"] is False
