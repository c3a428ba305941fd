"""The history over HTTP: the same seqs as on sockets, pages in both directions, read or unread for its
viewer."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat import services
from chat.models import Message
from chat.services import Draft
from realtime.http.throttling import RestThrottle
from realtime.testing import position_at
from tests.chat.speaking import say, send


@pytest.fixture
def url(conversation) -> str:
    return f"/api/conversations/{conversation.pk}/messages/"


@pytest.fixture
def long_history(conversation, ana, bruno) -> list[int]:
    """120 messages and some events between them; returns the seqs of the messages."""
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


def test_page_between_two_positions_has_the_messages_between(db, bruno, long_history, api, url):
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
    RestThrottle.buckets.clear()
    if not hasattr(request.node, "client"):
        request.node.client = api(user)
    return request.node.client


def test_page_beyond_either_end_is_empty(db, bruno, long_history, api, url):
    newest = api(bruno).get(f"{url}?after=123").json()
    oldest = api(bruno).get(f"{url}?before=1").json()

    assert (newest["results"], newest["previous"]) == ([], None)
    assert (oldest["results"], oldest["next"], oldest["has_more"]) == ([], None, False)


def test_every_page_says_what_lies_on_either_side_of_it(db, ana, bruno, conversation, api, url):
    """An empty page too: `has_more` says that there are older messages, and `next` leads to them."""
    for _ in range(3):
        say(conversation, ana)
    client = api(bruno)

    def sides(query: str) -> tuple[list[int], list[int] | None, list[int] | None]:
        page = client.get(f"{url}?{query}").json()
        assert page["has_more"] == (page["next"] is not None)
        links = [page[side] and seqs(client.get(page[side]).json()) for side in ("next", "previous")]
        return seqs(page), links[0], links[1]

    assert sides("") == ([3, 2, 1], None, None)
    assert sides("limit=2") == ([3, 2], [1], None)
    assert sides("limit=2&before=3") == ([2, 1], None, [3])
    assert sides("limit=2&before=4") == ([3, 2], [1], None)
    assert sides("limit=2&before=99") == ([3, 2], [1], None)
    assert sides("limit=2&before=1") == ([], None, [2, 1])
    assert sides("limit=2&before=0") == ([], None, [2, 1])
    assert sides("limit=2&after=0") == ([2, 1], None, [3])
    assert sides("limit=2&after=1") == ([3, 2], [1], None)
    assert sides("limit=2&after=3") == ([], [3, 2], None)
    assert sides("limit=2&after=99") == ([], [3, 2], None)
    assert sides("limit=1&after=0&before=3") == ([2], [1], [3])
    assert sides("limit=1&after=1&before=3") == ([2], None, [3])
    assert sides("after=2&before=3") == ([], None, [3])
    assert sides("after=2&before=1") == ([], None, [3, 2, 1])


@given(after=st.none() | st.integers(0, 40), before=st.none() | st.integers(0, 40), limit=st.integers(1, 12))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_links_of_any_page_read_the_rest_once_each_way(db, newcomer, after, before, limit):
    """The member came late, some messages are deleted, and other events lie between: they read their part,
    once."""
    group, client, readable = newcomer
    RestThrottle.buckets.clear()
    query = {"limit": limit} | {
        name: value for name, value in (("after", after), ("before", before)) if value is not None
    }
    page = client.get(f"/api/conversations/{group.pk}/messages/", query).json()

    def follow(link: str) -> list[int]:
        found, url = [], page[link]
        while url:
            following = client.get(url).json()
            assert following["has_more"] == (following["next"] is not None)
            assert following["last_seq"] == page["last_seq"]
            assert following["results"], f"{link} led to nothing"
            found = found + seqs(following) if link == "next" else seqs(following) + found
            url = following[link]
        return found

    read_down = before is not None or after is None
    found = seqs(page)
    newest = found[0] if found else (before or 0) - 1 if read_down else after
    oldest = found[-1] if found else 0 if read_down else after + 1
    stays_above = after if read_down and after is not None else 0
    assert follow("previous") == [seq for seq in readable[::-1] if seq > newest]
    assert follow("next") == [seq for seq in readable[::-1] if stays_above < seq < oldest]


@pytest.fixture
def newcomer(db, ana, bruno, clara, group, api):
    """Clara, who may read a part of the log: the seqs of the messages in it, and her client."""
    for number in range(6):
        say(group, ana, f"before Clara {number}")
    services.add_members(conversation_id=group.pk, by=ana, users=[clara])
    for number in range(18):
        sent = say(group, (ana, bruno, clara)[number % 3])
        if number % 5 == 0:
            services.delete_message(conversation_id=group.pk, message_id=sent.message_id, by=ana)
        if number % 7 == 0:
            services.rename_conversation(conversation_id=group.pk, by=ana, title=f"{number}")
    joined = group.participants.get(user=clara).joined_seq
    readable = Message.objects.filter(conversation=group, seq__gt=joined).order_by("seq")
    return group, api(clara), list(readable.values_list("seq", flat=True))


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
        "position": position_at(f"conversation.{conversation.pk}", 1),
    }


def test_is_read_is_the_viewers_in_all_four_cases(db, ana, bruno, dora, group, api):
    """Another member's message is read up to my cursor, my own up to the lowest cursor of all others."""
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
