"""Making conversations over HTTP, and the list of conversations."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from chat import services
from chat.models import Conversation, Participant
from chat.services import conversations
from tests.chat.speaking import say, share_of
from tests.factories import make_conversation, make_user

URL = "/api/conversations/"


def test_two_people_have_one_direct_conversation_whoever_asks(db, ana, bruno, api):
    first = api(ana).post(URL, {"participants": ["bruno"]})
    again = api(ana).post(URL, {"participants": ["bruno", "bruno", "ana"], "title": "  "})
    other_side = api(bruno).post(URL, {"participants": ["ana"]})

    assert [answer.status_code for answer in (first, again, other_side)] == [201, 200, 200]
    assert {answer.json()["id"] for answer in (first, again, other_side)} == {Conversation.objects.get().pk}
    shown = first.json()
    assert (shown["kind"], shown["title"], shown["role"], shown["opens_history"]) == (
        "direct",
        "",
        "owner",
        True,
    )
    assert [(member["username"], member["role"]) for member in shown["members"]] == [
        ("ana", "owner"),
        ("bruno", "owner"),
    ]


def test_two_callers_at_once_get_the_same_conversation(transactional_db, ana, bruno):
    def ask(creator, other) -> tuple[int, bool]:
        try:
            conversation, is_new = services.open_conversation(creator=creator, participants=[other])
            return conversation.pk, is_new
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(ask, *pair) for pair in [(ana, bruno), (bruno, ana)] * 4]
        answers = [answer.result() for answer in asked]

    assert {pk for pk, _ in answers} == {Conversation.objects.get().pk}
    assert sum(is_new for _, is_new in answers) == 1
    assert Participant.objects.count() == 2


def test_loser_of_the_race_gets_the_winners_conversation(
    transactional_db, ana, bruno, conversation, monkeypatch
):
    """The request looked, found nothing, and another one wrote first."""

    class Blind:
        def first(self):
            return None

    monkeypatch.setattr(Conversation.objects, "filter", lambda **by: Blind())

    assert services.open_conversation(creator=bruno, participants=[ana]) == (conversation, False)


@pytest.mark.parametrize(
    "wish",
    [
        {"participants": ["bruno"], "title": "Project"},
        {"participants": ["bruno", "clara"]},
        {"participants": []},
    ],
)
def test_anything_else_is_a_group_and_new_every_time(db, ana, bruno, clara, api, wish):
    first, second = api(ana).post(URL, wish), api(ana).post(URL, wish)

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] != second.json()["id"]
    shown = first.json()
    assert (shown["kind"], shown["title"], shown["role"]) == ("group", wish.get("title", ""), "owner")
    assert shown["member_count"] == len(wish["participants"]) + 1
    assert [member["role"] for member in shown["members"][1:]] == ["member"] * len(wish["participants"])


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"participants": ["nobody"]}, "unknown_user"),
        ({"participants": ["bruno", "nobody"]}, "unknown_user"),
        ({"participants": ["Bruno"]}, "unknown_user"),
        ({"participants": ["gone"]}, "unknown_user"),
        ({}, "invalid_input"),
        ({"participants": "bruno"}, "invalid_input"),
        ({"participants": {"0": "bruno"}}, "invalid_input"),
        ({"participants": [["bruno"]]}, "invalid_input"),
        ({"participants": [None]}, "invalid_input"),
        ({"participants": ["x" * 151]}, "invalid_input"),
        ({"participants": ["bruno"] * 101}, "invalid_input"),
        ({"participants": ["bruno"], "title": "x" * 201}, "invalid_input"),
        ({"participants": ["bruno"], "title": None}, "invalid_input"),
        ({"participants": ["bruno"], "title": ["x"]}, "invalid_input"),
        ({"participants": ["bruno"], "title": "bell\x07"}, "invalid_text"),
        ({"participants": ["bruno"], "opens_history": "perhaps"}, "invalid_input"),
    ],
)
def test_wish_that_cannot_be_met_makes_nothing(db, ana, bruno, api, wish, code):
    make_user("gone", is_active=False)

    answer = api(ana).post(URL, wish)

    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert not Conversation.objects.exists()


def test_group_has_an_end(db, ana, bruno, clara, dora, api, monkeypatch):
    monkeypatch.setattr(conversations, "MAX_MEMBERS", 3)
    monkeypatch.setattr(services.members, "MAX_MEMBERS", 3)

    too_many = api(ana).post(URL, {"participants": ["bruno", "clara", "dora"]})
    full = api(ana).post(URL, {"participants": ["bruno", "clara"]}).json()
    one_more = api(ana).post(f"{URL}{full['id']}/members/", {"participants": ["dora"]})
    nobody_new = api(ana).post(f"{URL}{full['id']}/members/", {"participants": ["bruno"]})

    assert (too_many.status_code, too_many.json()["code"]) == (400, "too_many_members")
    assert (one_more.status_code, one_more.json()["code"]) == (400, "too_many_members")
    assert (nobody_new.status_code, nobody_new.json()) == (201, [])
    assert Participant.objects.count() == 3


def test_members_are_told_on_their_own_topics(transactional_db, ana, bruno, dora, published):
    group = make_conversation(ana, bruno, dora, title="Project")

    assert sorted(topic for topic, _ in published) == sorted(f"user.{user.pk}" for user in (ana, bruno, dora))
    assert {
        (event["type"], event["conversation_id"], event["title"], event["kind"]) for _, event in published
    } == {("conversation_joined", group.pk, "Project", "group")}


# ── renaming ─────────────────────────────────────────────────────────────────────────────────────────────


def test_rename_is_shown_and_told(transactional_db, ana, group, api, published):
    published.clear()
    answer = api(ana).patch(f"{URL}{group.pk}/", {"title": "  Nouveau project "})

    assert (answer.status_code, answer.json()["title"]) == (200, "Nouveau project")
    assert [event for topic, event in published if topic == f"conversation.{group.pk}"] == [
        {
            "type": "conversation_renamed",
            "title": "Nouveau project",
            "renamed_by": ana.pk,
            "conversation_id": group.pk,
            "seq": 1,
        }
    ]


def test_refused_rename_is_neither_kept_nor_told(
    transactional_db, ana, bruno, conversation, group, api, published
):
    published.clear()
    refusals = [
        api(bruno).patch(f"{URL}{group.pk}/", {"title": "Mine"}),
        api(ana).patch(f"{URL}{conversation.pk}/", {"title": "Us"}),
        api(ana).patch(f"{URL}{group.pk}/", {"title": "x" * 201}),
        api(ana).patch(f"{URL}{group.pk}/", {"title": "\x1b[2J"}),
        api(ana).patch(f"{URL}{group.pk}/", {}),
    ]

    assert [answer.json()["code"] for answer in refusals] == [
        "not_allowed",
        "direct_conversation",
        "invalid_input",
        "invalid_text",
        "invalid_input",
    ]
    assert set(Conversation.objects.values_list("title", flat=True)) == {"", "Project"}
    assert not published.of_type("conversation_renamed")


# ── the list ─────────────────────────────────────────────────────────────────────────────────────────────


def test_list_shows_the_last_message_and_what_is_unread_for_its_viewer(
    db, ana, bruno, clara, conversation, api
):
    say(conversation, ana, "one")
    last = say(conversation, ana, "two")
    services.mark_read(user_id=bruno.pk, conversation_id=conversation.pk, up_to_seq=1)

    [for_bruno] = api(bruno).get(URL).json()["results"]
    [for_ana] = api(ana).get(URL).json()["results"]

    assert (for_bruno["last_message"]["message_id"], for_bruno["last_message"]["content"]) == (
        last.message_id,
        "two",
    )
    assert (for_bruno["unread_count"], for_bruno["read_seq"], for_bruno["last_seq"]) == (1, 1, 2)
    assert (for_ana["unread_count"], for_ana["last_seq"]) == (0, 2)
    assert api(clara).get(URL).json() == {"results": [], "next": None, "has_more": False}


def test_last_message_is_read_in_the_list_exactly_when_it_is_in_the_history(db, ana, bruno, dora, group, api):
    """A message of another member is read up to the viewer's own cursor; the viewer's own, when everybody
    else has read it."""
    say(group, ana)

    def is_read(viewer) -> bool:
        listed = api(viewer).get(URL).json()["results"][0]["last_message"]["is_read"]
        alone = api(viewer).get(f"{URL}{group.pk}/").json()["last_message"]["is_read"]
        [row] = api(viewer).get(f"{URL}{group.pk}/messages/").json()["results"]
        assert listed == alone == row["is_read"]
        return listed

    assert [is_read(user) for user in (ana, bruno, dora)] == [False, False, False]
    services.mark_read(user_id=bruno.pk, conversation_id=group.pk, up_to_seq=1)
    assert [is_read(user) for user in (ana, bruno, dora)] == [False, True, False]
    services.mark_read(user_id=dora.pk, conversation_id=group.pk, up_to_seq=1)
    assert [is_read(user) for user in (ana, bruno, dora)] == [True, True, True]


def test_list_hides_messages_from_before_the_viewer_joined(db, ana, bruno, clara, group, api):
    say(group, ana, "before Clara")
    services.add_members(conversation_id=group.pk, by=ana, users=[clara])

    [row] = api(clara).get(URL).json()["results"]

    assert (row["last_message"], row["unread_count"]) == (None, 0)
    assert "before Clara" not in api(clara).get(URL).content.decode()


def test_number_of_queries_does_not_grow_with_conversations(db, ana, bruno, clara, dora, api):
    client, counts = api(ana), []
    for others in ([bruno], [clara, dora], [bruno, clara, dora]):
        conversation = make_conversation(ana, *others)
        say(conversation, others[0])
        with CaptureQueriesContext(connection) as queries:
            assert len(client.get(URL).json()["results"]) == len(counts) + 1
        counts.append(len(queries))

    assert counts[0] == counts[1] == counts[2] <= 8


def test_list_is_paged_without_gap_or_double(db, ana, bruno, api):
    made = [make_conversation(ana, bruno, title=f"{number}").pk for number in range(7)]
    client, seen, url = api(ana), [], f"{URL}?limit=3"
    while url:
        page = client.get(url).json()
        assert page["has_more"] == (page["next"] is not None)
        seen += [row["id"] for row in page["results"]]
        url = page["next"]

    assert seen == made[::-1]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=x", "limit=-1", "before=-1", "before=x", f"before={2**53}"]
)
def test_query_that_cannot_be_is_refused(db, ana, conversation, api, query):
    assert api(ana).get(f"{URL}?{query}").json()["code"] == "invalid_input"
    if not query.startswith("before=2"):
        answer = api(ana).get(f"{URL}{conversation.pk}/messages/?{query}")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")


def test_list_names_ten_members_and_counts_them_all(db, ana, api):
    group = make_conversation(ana, *(make_user(f"member{number:02}") for number in range(14)))

    [row] = api(ana).get(URL).json()["results"]

    assert (len(row["members"]), row["member_count"]) == (10, 15)
    assert len(api(ana).get(f"{URL}{group.pk}/members/").json()) == 15


def test_readers_of_a_list_see_only_their_own_share(db, ana, bruno, conversation, api):
    """The row says how far the viewer has read, not how far another member has."""
    say(conversation, ana)
    services.mark_read(user_id=bruno.pk, conversation_id=conversation.pk, up_to_seq=1)

    assert (
        api(ana).get(f"{URL}{conversation.pk}/").json()["read_seq"]
        == share_of(ana, conversation).read_seq
        == 0
    )
    assert api(bruno).get(f"{URL}{conversation.pk}/").json()["read_seq"] == 1
