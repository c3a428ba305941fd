"""Two tenants, and every kind of caller who might want to read what is another tenant's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from rest_framework.test import APIClient

from accounts.models import Session, User
from accounts.tokens import issue
from chat import services
from chat.models import Conversation
from notifications.services import notify
from realtime.http import throttling
from tests.chat.speaking import say
from tests.factories import make_conversation, make_user

#: A text that stands in everything that belongs to the victims, and in nothing else.
CANARY = "canary-5c1d"


@pytest.fixture(autouse=True)
def _patient(settings: Any) -> None:
    """Limits do not get in the way: an attack is not sent away for coming often."""
    off = dict.fromkeys(
        (
            "limit_rest",
            "limit_handshakes",
            "limit_frames",
            "limit_mistakes",
            "limit_sends",
            "limit_invitations",
        ),
        "off",
    )
    settings.RELAIS = {**settings.RELAIS, **off}
    for kind in throttling.Limit.__subclasses__():
        kind.buckets.clear()


class Tenant(NamedTuple):
    """The callers of the matrix by name, and the ids of what they want to reach."""

    people: dict[str, User]
    conversation: Conversation
    ids: dict[str, Any]
    #: The same ids, but of objects that do not exist.
    unknown: dict[str, Any]

    def token(self, caller: str) -> str:
        return issue(self.people[caller])["access"]

    def client(self, caller: str) -> APIClient:
        """An HTTP client for a caller."""
        client = APIClient(raise_request_exception=False)
        if caller != "anonymous":
            client.credentials(HTTP_AUTHORIZATION=f"Bearer {self.token(caller)}")
        return client


@pytest.fixture
def make_tenant() -> Callable[[], Tenant]:
    """Makes tenants, for tests that choose their own database fixture."""

    def make() -> Tenant:
        people = {
            name: make_user(name, email=f"{CANARY}-{name}@example.com")
            for name in ("stranger", "former", "member", "manager", "admin")
        }
        people["superuser"] = User.objects.create_superuser("superuser", password="demo-password")
        third = make_user("third")
        admin = people["admin"]
        conversation = make_conversation(admin, people["member"], people["former"], third, title=CANARY)
        manager = people["manager"]
        services.add_members(conversation_id=conversation.pk, by=admin, users=[manager], role="admin")
        sent = say(conversation, admin, f"{CANARY} words")
        services.remove_member(conversation_id=conversation.pk, by=admin, user_id=people["former"].pk)
        say(conversation, admin, f"{CANARY} after the removal")
        session = Session.objects.create(user=admin, user_agent=f"{CANARY} browser")
        notification = notify(user=admin, kind="payment_completed", data={"payment_id": 7, "note": CANARY})
        assert notification is not None
        ids = {
            "conversation_id": conversation.pk,
            "message_id": sent.message_id,
            "user_id": third.pk,
            "session_id": session.pk,
            "notification_id": notification.pk,
        }
        unknown = {**dict.fromkeys(ids, 999_999), "session_id": "00000000-0000-4000-8000-000000000000"}
        return Tenant(people, conversation, ids, unknown)

    return make


@pytest.fixture
def tenant(db: None, make_tenant: Callable[[], Tenant]) -> Tenant:
    return make_tenant()
