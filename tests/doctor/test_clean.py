"""The doctor finds nothing in a database that only the product has written to."""

import pytest
from django.db import transaction

from bench import fixture
from chat import services
from chat.models import Message
from chat.selectors import conversations_to_note
from demo.services import seed
from doctor import examinations
from doctor.examinations import registered
from realtime.database import id_ranges
from realtime.models import LoggedEvent

pytestmark = pytest.mark.django_db(transaction=True)


def test_everything_that_can_happen_is_healthy(live, doctor):
    said = doctor()

    assert said.findings == []
    assert said.status == 0
    assert [line["examination"] for line in said.lines] == [each.name for each in registered()]


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_borders_of_batches_hide_nothing_and_invent_nothing(rows, live, doctor, monkeypatch):
    monkeypatch.setattr(examinations, "BATCH", rows)
    monkeypatch.setattr(id_ranges, "ROWS", rows)
    assert doctor().findings == []

    Message.objects.filter(pk=live["plain"]).update(content="another")
    LoggedEvent.objects.filter(topic__name=f"conversation.{live['group']}", seq=live["group_head"]).delete()

    assert doctor("chat.history", "realtime.log_numbers").findings == [
        ("chat.history", "a message and its event differ"),
        ("realtime.log_numbers", "it lacks events"),
    ]


def test_empty_database_is_healthy(doctor):
    assert doctor().status == 0


def test_demo_is_healthy(doctor):
    seed()
    assert doctor().findings == []


@pytest.mark.parametrize("sizes", [{"messages": 70}, {"history": 2_500}, {"history": 2_500, "logged": True}])
def test_people_to_put_under_load_are_healthy(sizes, doctor):
    with transaction.atomic():
        fixture.make(members=4, conversations=3, **sizes)
    services.note_unread(conversations_to_note())

    assert doctor().findings == []


def test_deleted_user_leaves_nothing_behind_that_is_wrong(live, doctor):
    from accounts.models import User
    from tests.factories import make_conversation, make_user

    silent = make_user("silent")
    make_conversation(User.objects.get(pk=live["ana"]), silent)
    services.add_members(conversation_id=live["group"], by=User.objects.get(pk=live["ana"]), users=[silent])
    silent.delete()

    assert doctor().findings == []
