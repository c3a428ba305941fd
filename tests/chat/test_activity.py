"""The list of conversations begins with the one that was active last, on every page, whatever happens."""

import datetime as dt
import random

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from chat import selectors, services
from chat.models import Conversation, Message, Participant
from realtime.models import LoggedEvent
from tests.chat.speaking import say
from tests.factories import make_conversation

URL = "/api/conversations/"


@pytest.fixture
def spoken(db, ana, bruno) -> list[Conversation]:
    """Nine groups with a message long ago, a minute apart, in an order that is not that of their ids."""
    groups = [make_conversation(ana, bruno, title=f"{number}") for number in range(9)]
    in_order = random.Random(4).sample(groups, len(groups))
    begin = timezone.now() - dt.timedelta(days=2)
    for minute, group in enumerate(in_order):
        say(group, bruno, "first")
        say(group, bruno, "second")
        date_back(group, begin + dt.timedelta(minutes=minute))
    return in_order[::-1]


def date_back(group: Conversation, moment: dt.datetime) -> None:
    """Move a group into the past: its messages, its log and its members."""
    Message.objects.filter(conversation=group).update(created_at=moment)
    LoggedEvent.objects.filter(topic__name=f"conversation.{group.pk}").update(created_at=moment)
    Participant.objects.filter(conversation=group).update(joined_at=moment - dt.timedelta(days=1))


def ids(page) -> list[int]:
    return [row["id"] for row in page["results"]]


def pages_of(client, url: str):
    while url:
        page = client.get(url).json()
        assert page["has_more"] == (page["next"] is not None)
        yield page
        url = page["next"]


def test_list_begins_where_somebody_spoke_last(db, ana, bruno, spoken, api):
    assert ids(api(ana).get(URL).json()) == [group.pk for group in spoken]

    say(spoken[-1], bruno, "news")

    assert ids(api(ana).get(URL).json()) == [spoken[-1].pk, *(group.pk for group in spoken[:-1])]


def test_new_conversation_is_at_the_top_before_anything_is_said(db, ana, bruno, clara, spoken, api):
    made = make_conversation(ana, clara)
    services.add_members(conversation_id=spoken[-1].pk, by=ana, users=[clara])

    assert ids(api(ana).get(URL).json())[:2] == [made.pk, spoken[0].pk]
    assert ids(api(clara).get(URL).json()) == [spoken[-1].pk, made.pk]


def test_deleting_the_last_word_moves_nothing(db, ana, bruno, spoken, api):
    before = ids(api(ana).get(URL).json())
    last = Message.objects.filter(conversation=spoken[0]).latest("seq")
    services.delete_message(conversation_id=spoken[0].pk, message_id=last.pk, by=bruno)

    assert ids(api(ana).get(URL).json()) == before


@pytest.mark.parametrize("limit", [1, 2, 4, 8, 9, 200])
def test_pages_together_are_the_list(db, ana, spoken, api, limit):
    listed = [row for page in pages_of(api(ana), f"{URL}?limit={limit}") for row in ids(page)]

    assert listed == [group.pk for group in spoken]


@pytest.mark.parametrize("seed", range(12))
def test_nothing_is_missing_or_double_when_activity_moves_between_pages(
    db, ana, bruno, clara, spoken, api, seed, relais
):
    """Somebody speaks anywhere after every page, also in a group that was listed, several times in one; some
    join."""
    relais(limit_rest="off")
    chance, listed = random.Random(seed), []
    for page in pages_of(api(ana), f"{URL}?limit={chance.randint(1, 4)}"):
        listed += ids(page)
        for group in chance.choices(spoken, k=chance.randint(0, 4)):
            say(group, chance.choice([ana, bruno]))
        if chance.random() < 0.3:
            make_conversation(bruno, ana, title="new meanwhile")

    assert listed == [group.pk for group in spoken]


def test_old_link_by_id_leads_on_by_id(db, ana, spoken, api):
    """A client that kept `?before=` from an earlier version reads the rest as it did then."""
    known = sorted((group.pk for group in spoken), reverse=True)
    pages = list(pages_of(api(ana), f"{URL}?before={known[2]}&limit=3"))

    assert [ids(page) for page in pages] == [known[3:6], known[6:9]]
    assert f"before={known[5]}" in pages[0]["next"]


def test_page_whose_place_is_gone_goes_on_after_it(db, ana, bruno, spoken, api):
    client = api(ana)
    first = client.get(f"{URL}?limit=3").json()
    Participant.objects.filter(conversation=spoken[2], user=ana).delete()

    following = client.get(first["next"]).json()

    assert ids(following) == [group.pk for group in spoken[3:6]]


@pytest.mark.parametrize(
    "cursor",
    ["x", "1", "1-2", "1-2-3-4", "-1-2-3", "1-2-x", "1.0-2-3", "٣-1-1", "1-2-3%00", "1" * 16 + "-1-1"],
)
def test_cursor_that_no_link_has_is_refused(db, ana, conversation, api, cursor):
    answer = api(ana).get(f"{URL}?cursor={cursor}")

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    assert "cursor" in answer.json()["errors"]


@pytest.mark.parametrize("cursor", ["0-0-0", "999999999999999-9999999999999999-999999999999999"])
def test_cursor_that_was_made_up_is_a_page_like_any_other(db, ana, spoken, api, cursor):
    answer = api(ana).get(f"{URL}?cursor={cursor}")

    assert answer.status_code == 200
    assert set(ids(answer.json())) <= {group.pk for group in spoken}


def test_order_costs_one_query_and_one_more_where_something_moved(db, ana, bruno, spoken, api):
    client, counts = api(ana), []

    def cost(url: str) -> str:
        with CaptureQueriesContext(connection) as queries:
            page = client.get(url).json()
        counts.append(len(queries))
        return page["next"]

    following = cost(f"{URL}?limit=3")
    cost(following)
    for group in spoken:
        say(group, bruno)
    cost(following)

    assert counts[1:] == [counts[0], counts[0] + 1]
    assert counts[0] <= 9


def test_order_reads_one_message_of_each_conversation(db, ana, bruno, spoken):
    """The query uses the index that the history has: the amount of messages does not matter, and none is
    sorted."""
    from chat.selectors import activity

    for _ in range(30):
        say(spoken[0], bruno)
    with CaptureQueriesContext(connection) as queries:
        activity._last_active(ana.pk)
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"EXPLAIN QUERY PLAN {queries[0]['sql']}")
        else:
            cursor.execute("SET LOCAL enable_seqscan = off")  # so few rows are read faster without an index
            cursor.execute(f"EXPLAIN {queries[0]['sql']}")
        plan = "\n".join(str(row) for row in cursor.fetchall())

    assert "chat_message_place" in plan or "sqlite_autoindex_chat_message" in plan, plan
    assert "TEMP B-TREE" not in plan, plan
    assert "Sort" not in plan, plan


def test_one_selector_shows_a_conversation_as_the_list_does(db, ana, bruno, spoken):
    listed, _ = selectors.conversations_of(user_id=ana.pk, limit=1)
    alone = selectors.conversation_of(user_id=ana.pk, conversation_id=listed[0].pk)

    assert (alone.my.unread, alone.last_message, alone.member_count) == (
        listed[0].my.unread,
        listed[0].last_message,
        listed[0].member_count,
    )
