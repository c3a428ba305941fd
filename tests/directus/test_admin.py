"""Static tokens in the admin: set, removed, and never shown."""

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from directus import static_tokens
from directus.models import StaticToken

STATIC = "a-static-token-of-ana"
ADD = "admin:directus_statictoken_add"


@pytest.fixture
def admin(db):
    client = Client()
    client.force_login(User.objects.create_superuser("root", password="x"))
    return client


def test_token_is_set_and_not_shown(admin, ana):
    answer = admin.post(reverse(ADD), {"user": ana.pk, "token": STATIC}, follow=True)

    assert answer.status_code == 200
    assert static_tokens.identify(STATIC).user == ana
    stored = StaticToken.objects.get()
    pages = [
        answer,
        admin.get(reverse("admin:directus_statictoken_changelist")),
        admin.get(reverse("admin:directus_statictoken_change", args=[stored.pk])),
    ]
    for page in pages:
        assert page.status_code == 200
        assert STATIC not in page.content.decode()
        assert stored.digest not in page.content.decode()


@pytest.mark.parametrize(
    "token", ["", "short", "with a blank in the middle", "aaaaaaaa.bbbbbbbb.cccccccc", "x" * 256]
)
def test_token_that_could_be_guessed_is_refused(admin, ana, token):
    answer = admin.post(reverse(ADD), {"user": ana.pk, "token": token})

    assert (answer.status_code, StaticToken.objects.exists()) == (200, False)
    assert answer.context["adminform"].errors["token"]


def test_token_of_another_user_is_refused_and_so_is_a_second_one(admin, ana, bruno):
    static_tokens.set_token(user=bruno, token=STATIC)

    assert admin.post(reverse(ADD), {"user": ana.pk, "token": STATIC}).context["adminform"].errors["token"]
    second = admin.post(reverse(ADD), {"user": bruno.pk, "token": "another-token-of-bruno"})
    assert second.context["adminform"].errors["user"]
    assert StaticToken.objects.count() == 1


def test_removed_token_ends_its_sockets(transactional_db, admin, ana, published):
    static_tokens.set_token(user=ana, token=STATIC)
    stored = StaticToken.objects.get()

    url = reverse("admin:directus_statictoken_delete", args=[stored.pk])
    assert admin.post(url, {"post": "yes"}).status_code == 302

    assert [(event["type"], event["session_id"]) for _, event in published] == [
        ("session_revoked", str(stored.pk))
    ]


def test_removing_many_at_once_ends_the_sockets_of_each(transactional_db, admin, ana, bruno, published):
    static_tokens.set_token(user=ana, token=STATIC)
    static_tokens.set_token(user=bruno, token="a-static-token-of-bruno")
    keys = [str(key) for key in StaticToken.objects.values_list("pk", flat=True)]

    admin.post(
        reverse("admin:directus_statictoken_changelist"),
        {"action": "delete_selected", "_selected_action": keys, "post": "yes"},
    )

    assert {event["session_id"] for _, event in published} == set(keys)
