"""Members and their roles: who may do what to whom, and which events are told."""

import re
from pathlib import Path

import pytest

from chat import services
from chat.models import Conversation, Participant
from tests.chat.speaking import head_of, say, share_of
from tests.factories import make_conversation, make_user

ROLES = ("owner", "admin", "member", "stranger")


@pytest.fixture
def people(db) -> dict[str, object]:
    """One user of each role, and for each role another one to whom things are done."""
    names = [*ROLES, *(f"other_{role}" for role in ROLES)]
    return {name: make_user(name) for name in names}


@pytest.fixture
def crowd(people) -> Conversation:
    owner = people["owner"]
    group = make_conversation(
        owner,
        *(people[n] for n in ("admin", "member", "other_owner", "other_admin", "other_member")),
        title="t",
    )
    for name in ("admin", "other_admin", "other_owner"):
        services.change_role(
            conversation_id=group.pk, by=owner, user_id=people[name].pk, role=name.removeprefix("other_")
        )
    return group


def roles_in(group) -> dict[str, str]:
    return dict(Participant.objects.filter(conversation=group).values_list("user__username", "role"))


def code_of(answer) -> str:
    return "ok" if answer.status_code < 300 else answer.json()["code"]


NO, OUT = "not_allowed", "not_a_participant"
ROLES_SECTION = (
    (Path(__file__).parents[2] / "docs/protocols/guide.md")
    .read_text()
    .partition("### Roles")[2]
    .partition("What is not allowed")[0]
)


#: For each verb and target, the answer to each role.
MATRIX: list[tuple[str, str, dict[str, str]]] = [
    ("remove", "other_owner", {"owner": "ok", "admin": NO, "member": NO, "stranger": OUT}),
    ("remove", "other_admin", {"owner": "ok", "admin": NO, "member": NO, "stranger": OUT}),
    ("remove", "other_member", {"owner": "ok", "admin": "ok", "member": NO, "stranger": OUT}),
    (
        "remove",
        "other_stranger",
        {"owner": "not_found", "admin": "not_found", "member": NO, "stranger": OUT},
    ),
    ("make admin", "other_member", {"owner": "ok", "admin": NO, "member": NO, "stranger": OUT}),
    ("make owner", "other_admin", {"owner": "ok", "admin": NO, "member": NO, "stranger": OUT}),
    ("make member", "other_owner", {"owner": "ok", "admin": NO, "member": NO, "stranger": OUT}),
    ("make member", "other_stranger", {"owner": "not_found", "admin": NO, "member": NO, "stranger": OUT}),
    ("add as member", "other_stranger", {"owner": "ok", "admin": "ok", "member": NO, "stranger": OUT}),
    ("add as admin", "other_stranger", {"owner": "ok", "admin": NO, "member": NO, "stranger": OUT}),
    ("add as owner", "other_stranger", {"owner": "ok", "admin": NO, "member": NO, "stranger": OUT}),
    ("rename", "", {"owner": "ok", "admin": "ok", "member": NO, "stranger": OUT}),
]


@pytest.mark.parametrize(("verb", "whom", "allowed"), MATRIX)
@pytest.mark.parametrize("who", ROLES)
def test_roles_decide_who_may_do_what_to_whom(people, crowd, api, verb, whom, allowed, who):
    client, url = api(people[who]), f"/api/conversations/{crowd.pk}/"
    before, whom_id = roles_in(crowd), people[whom].pk if whom else 0
    match verb.split():
        case ["remove"]:
            answer = client.delete(f"{url}members/{whom_id}/")
        case ["make", role]:
            answer = client.patch(f"{url}members/{whom_id}/", {"role": role})
        case ["add", "as", role]:
            answer = client.post(f"{url}members/", {"participants": [whom], "role": role})
        case _:
            answer = client.patch(url, {"title": "new"})

    assert code_of(answer) == allowed[who]
    if code_of(answer) != "ok":
        assert roles_in(crowd) == before
        assert Conversation.objects.get().title == "t"
    elif verb == "remove":
        assert whom not in roles_in(crowd)
    elif verb != "rename":
        assert roles_in(crowd)[whom] == verb.split()[-1]


#: For each row of the documented table of roles, by a phrase in it, the part of the matrix that it is about.
DOCUMENTED = {
    "rename": [("rename", "")],
    "add somebody as `member`": [("add as member", "other_stranger")],
    "remove a `member`": [("remove", "other_member")],
    "add somebody as `admin` or `owner`": [
        ("add as admin", "other_stranger"),
        ("add as owner", "other_stranger"),
    ],
    "remove an `admin` or an `owner`": [("remove", "other_admin"), ("remove", "other_owner")],
    "give a member another role": [
        ("make admin", "other_member"),
        ("make owner", "other_admin"),
        ("make member", "other_owner"),
    ],
}


@pytest.mark.parametrize("phrase", DOCUMENTED)
def test_roles_may_do_what_is_documented(phrase):
    head, _, *rows = re.findall(r"^\|(.*)\|$", ROLES_SECTION, re.MULTILINE)
    roles = [cell.strip() for cell in head.split("|")[1:]]
    [row] = [row for row in rows if re.search(rf"{phrase}(?!\w| or)", row)]
    told = dict(zip(roles, (cell.strip() for cell in row.split("|")[1:]), strict=True))
    allowed = {(verb, whom): answers for verb, whom, answers in MATRIX}

    assert roles == ["owner", "admin", "member"]
    for deed in DOCUMENTED[phrase]:
        assert {role: "yes" if allowed[deed][role] == "ok" else "no" for role in roles} == told, deed


@pytest.mark.parametrize("role", ["owner", "admin", "member"])
def test_roles_that_manage_are_documented(role):
    head, _, *rows = re.findall(r"^\|(.*)\|$", ROLES_SECTION, re.MULTILINE)
    column = [cell.strip() for cell in head.split("|")].index(role)
    [row] = [row for row in rows if "delete others' messages" in row]
    member = Participant(role=role, conversation=Conversation(kind=Conversation.Kind.GROUP))

    assert member.manages == (row.split("|")[column].strip() == "yes")


@pytest.mark.parametrize("who", ["admin", "member", "other_owner"])
def test_anybody_may_leave(people, crowd, api, who):
    assert (
        api(people[who]).delete(f"/api/conversations/{crowd.pk}/members/{people[who].pk}/").status_code == 204
    )
    assert who not in roles_in(crowd)


def test_stranger_cannot_leave(people, crowd, api):
    answer = api(people["stranger"]).delete(f"/api/conversations/{crowd.pk}/members/{people['stranger'].pk}/")

    assert code_of(answer) == OUT


def test_last_owner_stays_one_but_may_leave_and_the_oldest_manager_inherits(
    db, ana, bruno, dora, group, api, published
):
    url = f"/api/conversations/{group.pk}/members/"
    assert code_of(api(ana).patch(f"{url}{ana.pk}/", {"role": "member"})) == NO
    api(ana).patch(f"{url}{dora.pk}/", {"role": "admin"})

    assert api(ana).delete(f"{url}{ana.pk}/").status_code == 204

    assert roles_in(group) == {"bruno": "member", "dora": "owner"}


def test_without_a_manager_the_oldest_member_inherits_and_it_is_told(
    transactional_db, ana, bruno, dora, group, published
):
    published.clear()
    services.remove_member(conversation_id=group.pk, by=ana, user_id=ana.pk)

    assert roles_in(group) == {"bruno": "owner", "dora": "member"}
    told = [event for topic, event in published if topic == f"conversation.{group.pk}"]
    assert [(event["type"], event["user_id"], event["seq"]) for event in told] == [
        ("member_removed", ana.pk, 1),
        ("member_role_changed", bruno.pk, 2),
    ]
    assert told[1]["changed_by"] is None


def test_last_member_may_leave(db, ana, bruno, dora, group):
    for user in (ana, bruno, dora):
        services.remove_member(conversation_id=group.pk, by=user, user_id=user.pk)

    assert roles_in(group) == {}


def test_owner_may_step_down_when_there_is_another(people, crowd, api):
    answer = api(people["owner"]).patch(
        f"/api/conversations/{crowd.pk}/members/{people['owner'].pk}/", {"role": "member"}
    )

    assert (answer.status_code, answer.json()["role"]) == (200, "member")


def test_direct_conversation_keeps_its_two_members(db, ana, bruno, clara, conversation, api):
    url = f"/api/conversations/{conversation.pk}/members/"
    answers = [
        api(ana).post(url, {"participants": ["clara"]}),
        api(ana).patch(f"{url}{bruno.pk}/", {"role": "member"}),
        api(ana).delete(f"{url}{bruno.pk}/"),
        api(ana).delete(f"{url}{ana.pk}/"),
    ]

    assert [code_of(answer) for answer in answers] == ["direct_conversation"] * 4
    assert roles_in(conversation) == {"ana": "owner", "bruno": "owner"}


def test_added_member_begins_at_the_head_with_nothing_unread(db, ana, bruno, clara, group, api):
    say(group, ana)
    answer = api(ana).post(f"/api/conversations/{group.pk}/members/", {"participants": ["clara"]})

    [member] = answer.json()
    assert (member["user_id"], member["username"], member["role"]) == (clara.pk, "clara", "member")
    share = share_of(clara, group)
    assert (share.joined_seq, share.delivered_seq, share.read_seq) == (2, 2, 2)
    assert [member["joined_seq"]] == [head_of(group)]


def test_members_who_are_added_again_stay_as_they_are(db, ana, bruno, clara, group, api):
    services.change_role(conversation_id=group.pk, by=ana, user_id=bruno.pk, role="admin")
    answer = api(ana).post(
        f"/api/conversations/{group.pk}/members/", {"participants": ["bruno", "clara", "clara", "ana"]}
    )

    assert [member["username"] for member in answer.json()] == ["clara"]
    assert roles_in(group) == {"ana": "owner", "bruno": "admin", "dora": "member", "clara": "member"}
    assert head_of(group) == 2


def test_each_change_of_members_is_told_once_to_all_and_to_the_member(
    transactional_db, ana, bruno, clara, group, published
):
    published.clear()
    services.add_members(conversation_id=group.pk, by=ana, users=[clara])
    services.change_role(conversation_id=group.pk, by=ana, user_id=clara.pk, role="admin")
    services.change_role(conversation_id=group.pk, by=ana, user_id=clara.pk, role="admin")
    services.remove_member(conversation_id=group.pk, by=clara, user_id=bruno.pk)

    told = [(topic, event["type"], event.get("user_id")) for topic, event in published]
    here = f"conversation.{group.pk}"
    assert sorted(told, key=str) == sorted(
        [
            (here, "member_added", clara.pk),
            (f"user.{clara.pk}", "conversation_joined", None),
            (here, "member_role_changed", clara.pk),
            (here, "member_removed", bruno.pk),
            (f"user.{bruno.pk}", "conversation_left", None),
        ],
        key=str,
    )
    [joined] = published.of_type("conversation_joined")
    assert joined["conversation_seq"] == share_of(clara, group).joined_seq == 1


def test_stranger_does_not_learn_which_names_exist(db, ana, bruno, clara, group, api):
    url = f"/api/conversations/{group.pk}/members/"

    answers = [api(clara).post(url, {"participants": [name]}).json() for name in ("bruno", "nobody")]

    assert answers[0] == answers[1]
    assert answers[0]["code"] == OUT


def test_members_are_listed_with_how_far_they_read(db, ana, bruno, dora, group, api):
    say(group, ana)
    services.mark_read(user_id=dora.pk, conversation_id=group.pk, up_to_seq=1)

    members = api(bruno).get(f"/api/conversations/{group.pk}/members/").json()

    assert [(m["username"], m["role"], m["delivered_seq"], m["read_seq"]) for m in members] == [
        ("ana", "owner", 0, 0),
        ("bruno", "member", 0, 0),
        ("dora", "member", 1, 1),
    ]
