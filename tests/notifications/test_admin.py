"""The admin sends notifications like any other writer, and changes none that was sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from notifications.models import Notification
from notifications.services import notify
from realtime.testing import Published
from tests.factories import make_user
from tests.notifications.conftest import own

pytestmark = pytest.mark.django_db
LIST = "/admin/notifications/notification/"


@pytest.fixture
def admin() -> Client:
    client = Client()
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    return client


def send(admin: Client, user: User, data: Any, kind: str = "payment_completed") -> Any:
    return admin.post(f"{LIST}add/", {"user": user.pk, "kind": kind, "data": json.dumps(data)})


@pytest.mark.django_db(transaction=True)
def test_notification_sent_in_the_admin_is_announced(admin: Client, ana: User, published: Published) -> None:
    answer = send(admin, ana, {"payment_id": 789})

    assert answer.status_code == 302
    stored = Notification.objects.get()
    assert (stored.user, stored.title, stored.data) == (ana, "Payment confirmed", {"payment_id": 789})
    assert [(topic, event["id"]) for topic, event in published] == [(own(ana), stored.pk)]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({}, "payment_completed"),
        ({"payment_id": "7"}, "payment_completed"),
        ({}, "lottery_won"),
        ([], "payment_completed"),
    ],
)
def test_refusal_of_the_kind_is_told_in_the_form(admin: Client, ana: User, data: Any, kind: str) -> None:
    answer = send(admin, ana, data, kind)

    assert answer.status_code == 200
    assert answer.context["errors"]
    assert not Notification.objects.exists()


def test_sent_notification_is_seen_and_not_changed(admin: Client, ana: User) -> None:
    stored = notify(user=ana, kind="payment_completed", data={"payment_id": 789})

    assert "Payment confirmed" in admin.get(LIST).text
    page = admin.get(f"{LIST}{stored.pk}/change/")
    assert "Your payment has been processed" in page.text
    assert 'name="_save"' not in page.text
    assert admin.post(f"{LIST}{stored.pk}/change/", {"title": "Other"}).status_code == 403
    assert admin.get(f"{LIST}add/").status_code == 200
    stored.refresh_from_db()
    assert stored.title == "Payment confirmed"


def test_rows_have_a_readable_name(ana: User) -> None:
    stored = notify(user=ana, kind="payment_completed", data={"payment_id": 789})

    assert str(stored) == f"payment_completed for user {ana.pk}"
