"""Owners of groups: the heirs of owners who are disabled or deleted, and the rights that only owners have."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections
from django.test import Client
from django.urls import reverse

from accounts import services as accounts
from accounts.models import User
from chat import selectors, services
from chat.models import Conversation, Participant
from realtime.errors import RealtimeError
from tests.chat.speaking import head_of
from tests.factories import make_conversation, make_user


def roles_in(group) -> dict[str, str]:
    return dict(Participant.objects.filter(conversation=group).values_list("user__username", "role"))


def deactivate_in_the_admin(user: User) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("root", password="x"))
    url = reverse("admin:accounts_user_changelist")
    client.post(url, {"action": "deactivate", "_selected_action": [user.pk]})


def save_as_inactive(user: User) -> None:
    user.is_active = False
    user.save()


ENDS = {
    "disabled by the service": lambda user: accounts.deactivate(user=user),
    "disabled in the admin": deactivate_in_the_admin,
    "disabled by save": save_as_inactive,
    "deleted": lambda user: user.delete(),
    "deleted by a query": lambda user: User.objects.filter(pk=user.pk).delete(),
}


# ── heirs ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("end", ENDS)
def test_group_of_an_owner_who_is_gone_has_an_heir_and_it_is_told(
    transactional_db, ana, bruno, dora, clara, published, end
):
    group = make_conversation(ana, bruno, dora, clara, title="Project")
    for admin in (clara, dora):  # dora has been a member for longer
        services.change_role(conversation_id=group.pk, by=ana, user_id=admin.pk, role="admin")
    ana_id = ana.pk
    published.clear()

    ENDS[end](ana)

    assert {name: role for name, role in roles_in(group).items() if name != "ana"} == {
        "bruno": "member",
        "dora": "owner",
        "clara": "admin",
    }
    [told] = published.of_type("member_role_changed")
    assert (told["user_id"], told["role"], told["changed_by"]) == (dora.pk, "owner", None)
    gone = [event["user_id"] for event in published.of_type("member_removed")]
    assert gone == ([ana_id] if "deleted" in end else [])
    assert told["seq"] == head_of(group)


def test_heir_is_somebody_who_can_sign_in(transactional_db, ana, bruno, dora, clara):
    group = make_conversation(ana, bruno, dora, clara, title="Project")
    services.change_role(conversation_id=group.pk, by=ana, user_id=bruno.pk, role="admin")
    accounts.deactivate(user=bruno)

    services.remove_member(conversation_id=group.pk, by=ana, user_id=ana.pk)

    assert roles_in(group) == {"bruno": "admin", "dora": "owner", "clara": "member"}


def test_owner_who_leaves_a_disabled_one_behind_has_an_heir(transactional_db, ana, bruno, dora, group):
    services.change_role(conversation_id=group.pk, by=ana, user_id=bruno.pk, role="owner")
    accounts.deactivate(user=bruno)
    assert roles_in(group) == {"ana": "owner", "bruno": "owner", "dora": "member"}

    services.remove_member(conversation_id=group.pk, by=ana, user_id=ana.pk)

    assert roles_in(group) == {"bruno": "owner", "dora": "owner"}


def test_appointing_twice_changes_nothing(transactional_db, ana, bruno, dora, group):
    accounts.deactivate(user=ana)
    head = head_of(group)

    services.ensure_owners([group.pk])
    services.account_was_switched(user_id=ana.pk, is_active=False)

    assert head_of(group) == head
    assert roles_in(group) == {"ana": "owner", "bruno": "owner", "dora": "member"}


def test_group_of_disabled_people_is_inherited_by_the_first_who_is_enabled(
    transactional_db, ana, bruno, dora, group
):
    for user in (dora, bruno, ana):
        accounts.deactivate(user=user)
    assert roles_in(group) == {"ana": "owner", "bruno": "member", "dora": "member"}

    dora.is_active = True
    dora.save(update_fields=["is_active"])

    assert roles_in(group) == {"ana": "owner", "bruno": "member", "dora": "owner"}


def test_many_groups_are_inherited_by_as_many_queries_as_one(
    transactional_db, ana, bruno, dora, django_assert_max_num_queries
):
    groups = [make_conversation(ana, bruno, dora, title=f"{number}") for number in range(30)]

    with django_assert_max_num_queries(40):
        accounts.deactivate(user=ana)

    assert {roles_in(group)["bruno"] for group in groups} == {"owner"}


def test_direct_conversation_has_no_heir(transactional_db, ana, bruno, conversation):
    accounts.deactivate(user=ana)

    assert (roles_in(conversation), head_of(conversation)) == ({"ana": "owner", "bruno": "owner"}, 0)


def test_update_behind_our_back_is_repaired_by_what_the_doctor_says(
    transactional_db, ana, bruno, dora, group
):
    User.objects.filter(pk=ana.pk).update(is_active=False)
    groups = Conversation.objects.filter(pk=group.pk)
    assert [pk for pk, _ in selectors.without_owner(groups)] == [group.pk]

    services.ensure_owners([group.pk])

    assert selectors.without_owner(groups) == []


# ── what only an owner may ───────────────────────────────────────────────────────────────────────────────

ROLES = ("owner", "admin", "member")


@pytest.fixture
def crowd(db) -> Conversation:
    """A group with two members of each role."""
    people = [make_user(f"{which}_{role}") for which in ("acting", "other") for role in ROLES]
    group = make_conversation(*people, title="Project")
    for user in people[1:]:
        role = user.username.partition("_")[2]
        services.change_role(conversation_id=group.pk, by=people[0], user_id=user.pk, role=role)
    return group


def person(name: str) -> User:
    return User.objects.get(username=name)


@pytest.mark.parametrize("to", ROLES)
@pytest.mark.parametrize("whom", ["acting_{by}", *(f"other_{role}" for role in ROLES)])
@pytest.mark.parametrize("by", ROLES)
def test_only_an_owner_changes_roles(crowd, api, by, whom, to):
    target = person(whom.format(by=by))
    before = roles_in(crowd)

    answer = api(person(f"acting_{by}")).patch(
        f"/api/conversations/{crowd.pk}/members/{target.pk}/", {"role": to}
    )

    if by == "owner":
        assert (answer.status_code, answer.json()["role"]) == (200, to)
        assert roles_in(crowd) == {**before, target.username: to}
    else:
        assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")
        assert roles_in(crowd) == before


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("by", ROLES)
def test_only_an_owner_adds_members_with_a_role(crowd, api, clara, by, role):
    answer = api(person(f"acting_{by}")).post(
        f"/api/conversations/{crowd.pk}/members/", {"participants": ["clara"], "role": role}
    )

    may = by == "owner" or (by, role) == ("admin", "member")
    assert answer.status_code == (201 if may else 403)
    assert roles_in(crowd).get("clara") == (role if may else None)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("by", ROLES)
def test_only_an_owner_removes_members_with_a_role(crowd, api, by, role):
    target = person(f"other_{role}")

    answer = api(person(f"acting_{by}")).delete(f"/api/conversations/{crowd.pk}/members/{target.pk}/")

    may = by == "owner" or (by, role) == ("admin", "member")
    assert answer.status_code == (204 if may else 403)
    assert (target.username not in roles_in(crowd)) == may


@pytest.mark.parametrize("role", ["member", "admin", "owner"])
def test_admin_cannot_change_a_role_by_removing_and_adding_again(crowd, api, role):
    """This would be a way around the rule: a member who comes back gets the role that the admin wishes."""
    admin, url = api(person("acting_admin")), f"/api/conversations/{crowd.pk}/members/"
    before = roles_in(crowd)

    for target in ROLES:
        name = f"other_{target}"
        admin.delete(f"{url}{person(name).pk}/")
        admin.post(url, {"participants": [name], "role": role})
        if name not in roles_in(crowd):  # a plain member, whom an admin may remove, and add again as one
            admin.post(url, {"participants": [name]})

    assert roles_in(crowd) == before


def test_owner_cannot_leave_the_group_to_a_disabled_one(db, ana, bruno, dora, group, api):
    services.change_role(conversation_id=group.pk, by=ana, user_id=bruno.pk, role="owner")
    accounts.deactivate(user=bruno)

    answer = api(ana).patch(f"/api/conversations/{group.pk}/members/{ana.pk}/", {"role": "member"})

    assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")


def test_two_owners_who_demote_each_other_at_once_leave_one(transactional_db, ana, bruno, dora, group):
    services.change_role(conversation_id=group.pk, by=ana, user_id=bruno.pk, role="owner")
    for _ in range(5):
        together = threading.Barrier(2)

        def demote(by: User, whom: User, together: threading.Barrier = together) -> str:
            together.wait()
            try:
                services.change_role(conversation_id=group.pk, by=by, user_id=whom.pk, role="member")
            except RealtimeError as error:
                return error.code
            finally:
                connections.close_all()
            return "ok"

        with ThreadPoolExecutor(2) as pool:
            answers = [*pool.map(demote, (ana, bruno), (bruno, ana))]

        assert sorted(answers) == ["not_allowed", "ok"]
        [owner] = selectors.active_owners(group.pk).select_related("user")
        other = bruno if owner.user == ana else ana
        services.change_role(conversation_id=group.pk, by=owner.user, user_id=other.pk, role="owner")
