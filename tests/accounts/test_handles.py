"""Handles: usernames and e-mails are unique together, however they are spelled and whatever code writes
them."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.urls import reverse

from accounts import handles, names, selectors, services
from accounts.errors import EmailTakenError, MixedScriptsError, UsernameTakenError
from accounts.handles import Handle
from accounts.models import User
from realtime.errors import RealtimeError
from tests.factories import PASSWORD, make_user

NEW = "c0rrect-horse"


def register(username: str, email: str = "") -> User:
    return services.register(username=username, email=email, password=NEW)


def keys() -> set[tuple[str, str]]:
    return {(handle.key, handle.user.username) for handle in Handle.objects.select_related("user")}


# ── under concurrency ────────────────────────────────────────────────────────────────────────────────────


def at_once(*calls: Callable[[], Any]) -> list[str]:
    """The outcome of each: `done`, or the code of its refusal."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> str:
        barrier.wait()
        try:
            call()
        except RealtimeError as refusal:
            return refusal.code
        except IntegrityError:
            return "refused by the database"
        finally:
            connection.close()
        return "done"

    with ThreadPoolExecutor(len(calls)) as threads:
        return sorted(threads.map(run, calls))


def test_one_name_registered_at_once_as_username_and_as_email_has_one_owner(transactional_db) -> None:
    for number in range(6):
        shared = f"x{number}@y.example"

        became = at_once(partial(register, shared), partial(register, f"second{number}", shared))

        assert became in (["done", "email_taken"], ["done", "username_taken"])
        [owner] = {
            user.pk for field in ("username", "email") for user in User.objects.filter(**{field: shared})
        }
        assert handles.owner_of(shared) == owner


def test_lookalikes_registered_at_once_have_one_owner(transactional_db) -> None:
    for number in range(3):
        latin, cyrillic = f"scope{number}", f"ѕсоре{number}"

        became = at_once(partial(register, latin), partial(register, cyrillic))

        assert became == ["done", "username_taken"]


def test_name_and_email_that_meet_in_two_profiles_have_one_owner(transactional_db) -> None:
    for number in range(3):
        ana, bruno = make_user(f"ana{number}"), make_user(f"bruno{number}")
        shared = f"z{number}@y.example"

        def rename(user: User = bruno, shared: str = shared) -> None:
            user.username = shared
            user.save(update_fields=["username"])

        def claim(user: User = ana, shared: str = shared) -> None:
            services.update_profile(user=user, email=shared)

        became = at_once(rename, claim)

        assert became in (["done", "email_taken"], ["done", "refused by the database"])


# ── every way to write ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def owner(db: None) -> User:
    return make_user("ana", email="ana@example.com")


def by_save(user: User, **fields: str) -> None:
    vars(user).update(fields)
    user.save()


def by_update_fields(user: User, **fields: str) -> None:
    vars(user).update(fields)
    user.save(update_fields=list(fields))


def by_query(user: User, **fields: str) -> None:
    User.objects.filter(pk=user.pk).update(**fields)


def by_query_on_its_own_name(user: User, **fields: str) -> None:
    User.objects.filter(username=user.username).update(**fields)


def by_bulk_update(user: User, **fields: str) -> None:
    vars(user).update(fields)
    User.objects.bulk_update([user], list(fields))


def by_fixture(user: User, **fields: str) -> None:
    from django.core import serializers

    vars(user).update(fields)
    with transaction.atomic():
        for loaded in serializers.deserialize("json", serializers.serialize("json", [user])):
            loaded.save()


WRITERS = [by_save, by_update_fields, by_query, by_query_on_its_own_name, by_bulk_update, by_fixture]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    "fields",
    [
        {"username": "ana@example.com"},  # another's e-mail
        {"email": "ana"},  # another's username
        {"username": "Ana"},
        {"username": "аnа"},  # Cyrillic
        {"email": "ANA@example.com"},
        {"email": "аna@example.com"},  # Cyrillic
    ],
)
def test_database_refuses_a_name_of_somebody_else(owner, bruno, write, fields) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        write(bruno, **fields)

    assert keys() == {("ana", "ana"), ("ana@example.com", "ana"), ("bruno", "bruno")}
    assert User.objects.filter(username="bruno", email=None).exists()


@pytest.mark.parametrize("write", WRITERS)
def test_name_that_is_given_up_is_free(owner, bruno, write) -> None:
    write(owner, username="anna", email="anna@example.com")
    write(bruno, username="ana", email="ana@example.com")

    assert keys() == {
        ("anna", "anna"),
        ("anna@example.com", "anna"),
        ("ana", "ana"),
        ("ana@example.com", "ana"),
    }


def test_users_made_in_bulk_have_handles(db) -> None:
    User.objects.bulk_create([User(username=f"u{n}", email=f"u{n}@example.com") for n in range(3)])
    User.objects.bulk_create(
        [User(username="u1", email="other@example.com"), User(username="u3")], ignore_conflicts=True
    )

    assert {key for key, _ in keys()} == {
        *(f"u{n}" for n in range(4)),
        *(f"u{n}@example.com" for n in range(3)),
    }
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.bulk_create([User(username="u1@example.com")])


def test_user_whose_email_is_their_username_has_one_handle(db) -> None:
    user = register("ana@example.com", "ana@example.com")
    services.update_profile(user=user, email="ana@example.com")

    assert keys() == {("ana@example.com", "ana@example.com")}


def test_deleted_user_leaves_no_handle(owner) -> None:
    owner.delete()

    assert not Handle.objects.exists()


def test_saving_other_fields_asks_nothing_about_handles(owner, django_assert_num_queries) -> None:
    owner.first_name = "Ana"
    with django_assert_num_queries(3):  # a savepoint, the row, and its release
        owner.save(update_fields=["first_name"])


# ── how a refusal is told ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("username", "email", "error"),
    [
        ("аnа", "", UsernameTakenError),  # all letters are Cyrillic but the n
        ("ѕсоре", "", UsernameTakenError),
        ("aɴa", "", UsernameTakenError),
        ("dora", "scope", EmailTakenError),
        ("dora", "аna@example.com", EmailTakenError),
    ],
)
def test_registration_of_a_lookalike_is_refused(owner, username, email, error) -> None:
    make_user("scope")
    if names.mixes_scripts(username):
        error = MixedScriptsError

    with pytest.raises(error):
        register(username, email)


def test_registration_that_mixes_scripts_is_told_so(client, db) -> None:
    body = {"username": "pаypal", "password": NEW}  # one letter is Cyrillic
    answer = client.post("/api/auth/register/", body, content_type="application/json")

    assert (answer.status_code, answer.json()["code"]) == (400, "mixed_scripts")
    assert not User.objects.exists()


PLAIN = "john_doe josé Jean-Luc o.neill+1 Ольга Νίκος 山田太郎 山田taro ラーメン 김철수 محمد ანა Սարգիս"


@pytest.mark.parametrize("name", PLAIN.split())
def test_names_of_one_script_and_with_accents_are_free(db, name) -> None:
    make_user("jose")

    assert services.sign_in(username=register(name).username, password=NEW)


def test_admin_refuses_in_its_form(admin_client, owner, bruno) -> None:
    def errors(**fields: str) -> dict[str, Any]:
        page = admin_client.post(
            reverse("admin:accounts_user_change", args=[bruno.pk]),
            {"username": "bruno", "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00", **fields},
        )
        assert page.status_code == 200
        return dict(page.context["adminform"].form.errors)

    assert "username" in errors(username="ana@example.com")
    assert "email" in errors(email="аna@example.com")
    assert "username" in errors(username="brunа")


@pytest.mark.parametrize("page", ["change", "add"])
def test_admin_whose_name_is_taken_meanwhile_is_told_so(
    transactional_db, admin_client, monkeypatch, page
) -> None:
    make_user("ana", email="ana@example.com")
    bruno = make_user("bruno")
    # The name was free a moment before.
    monkeypatch.setattr(User, "validate_constraints", lambda *_, **__: None)
    fields = {"username": "ana@example.com", "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}
    passwords = {"password1": NEW, "password2": NEW, "usable_password": "true"}
    where = [bruno.pk] if page == "change" else []

    answer = admin_client.post(
        reverse(f"admin:accounts_user_{page}", args=where), fields | passwords, follow=True
    )

    assert answer.status_code == 200
    assert "Somebody else took this name meanwhile." in answer.content.decode()
    assert set(User.objects.values_list("username", flat=True)) == {"admin", "ana", "bruno"}


def test_old_name_of_mixed_scripts_is_no_error_of_its_owners(db) -> None:
    user = User.objects.create_user("brunа")  # made by a command, which checks nothing

    user.validate_constraints()

    user.username = "brunао"
    with pytest.raises(ValidationError):
        user.validate_constraints()


# ── before there were handles ────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def before_handles(transactional_db) -> Any:
    """The tables as they were before the migration; they are migrated again afterwards."""

    def migrate(to: str) -> Any:
        executor = MigrationExecutor(connection)
        executor.migrate([("accounts", to)])
        return executor.loader.project_state([("accounts", to)]).apps

    yield lambda: migrate("0003_forgetting").get_model("accounts", "User")
    MigrationExecutor(connection).migrate(MigrationExecutor(connection).loader.graph.leaf_nodes())


def test_collisions_from_before_are_reported_and_nothing_is_lost(before_handles, caplog) -> None:
    old = before_handles().objects
    first = old.create(username="ana", email="same@example.com", password="!")
    shadow = old.create(username="ana@y.example", email=None, password="!")
    shadowed = old.create(username="bruno", email="ana@y.example", password="!")
    lookalike = old.create(username="аnа", email=None, password="!")
    twice = old.create(username="me@y.example", email="me@y.example", password="!")

    call_command("migrate", verbosity=0)

    stored = set(Handle.objects.values_list("key", "user_id", "disputed"))
    assert stored == {
        ("ana", first.pk, 0),
        ("same@example.com", first.pk, 0),
        ("ana@y.example", shadow.pk, 0),
        ("bruno", shadowed.pk, 0),
        ("ana@y.example", shadowed.pk, shadowed.pk),
        ("ana", lookalike.pk, lookalike.pk),
        ("me@y.example", twice.pk, 0),
    }
    told = [record.getMessage() for record in caplog.records if record.name == "accounts.handles"]
    assert len(told) == 2
    assert f"Users {shadow.pk} and {shadowed.pk} " in " ".join(told)

    # Each of these users is still found, can be saved and given a password, and keeps the name from others.
    for user in User.objects.all():
        assert selectors.user_named(user.username) == user
        user.set_password(PASSWORD)
        user.save()
        assert services.sign_in(username=user.username, password=PASSWORD)
    User.objects.filter(pk=first.pk).update(username="anna")
    with pytest.raises(UsernameTakenError):
        register("ana")
    # A user who is renamed is out of the dispute.
    User.objects.filter(pk=lookalike.pk).update(username="аня")
    assert not Handle.objects.filter(disputed=lookalike.pk).exists()
    register("ana")
