"""Fixtures for the tests of notifications: clients of REST and sockets, and an app's topics to listen to."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from rest_framework.test import APIClient

from accounts import tokens
from accounts.models import User
from notifications import kinds, services, sources
from notifications.models import Notification
from notifications.sources import Notice
from realtime.events import Delivery, Event
from realtime.http import throttling
from realtime.hub import reactions
from realtime.topics import user_topic

SOCKET = "/ws/notifications/"
API_KEY = "a-service-key-of-at-least-32-characters"

Tell = Callable[..., Awaitable[Notification]]


@pytest.fixture(autouse=True)
def _full_buckets() -> None:
    """Forget all buckets, so that no test is limited by the one before it."""
    throttling.RestThrottle.buckets.clear()


@pytest.fixture
def tell() -> Tell:
    """`await tell(ana)`: one of her payments was processed."""

    async def send(user: User, payment_id: int = 789, **options: Any) -> Notification:
        return await sync_to_async(services.notify)(
            user=user, kind="payment_completed", data={"payment_id": payment_id}, **options
        )

    return send


@pytest.fixture
def signed_in() -> Callable[[User], APIClient]:
    """`signed_in(ana)`: her HTTP client."""

    def sign_in(user: User) -> APIClient:
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens.issue(user)['access']}")
        return client

    return sign_in


@pytest.fixture
def service(settings: Any) -> APIClient:
    """The HTTP client of another service."""
    settings.RELAIS = {**settings.RELAIS, "service_api_keys": (API_KEY,)}
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {API_KEY}")
    return client


@pytest.fixture
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only this test sees what it registers."""
    monkeypatch.setattr(kinds, "_kinds", dict(kinds._kinds))
    monkeypatch.setattr(sources, "_sources", list(sources._sources))
    monkeypatch.setattr(reactions, "_reactions", copy.deepcopy(reactions._reactions))


class BallKicked(Event, tag="test_ball_kicked", frozen=True):
    """A durable event of an app's own topic."""

    by: int
    name: str
    seq: int = 0


class TeamJoined(Event, tag="test_team_joined", frozen=True):
    """On a user's own topic: the user may hear `team.<id>` after a seq."""

    team: int
    after: int
    seq: int = 0


class Teams:
    """A source: team 1 has the users in `members`, and each kick of the ball is a notice."""

    entered_on = "test_team_joined"

    def __init__(self) -> None:
        self.members: set[int] = set()
        self.head = 0
        self.noticed: list[int | None] = []

    def topics(self, user_id: int, limit: int) -> dict[str, int]:
        return {"team.1": self.head} if user_id in self.members else {}

    def notice(self, delivery: Delivery) -> Notice | None:
        if delivery.type != "test_ball_kicked":
            return None
        self.noticed.append(delivery.seq)
        kick = delivery.fields
        return Notice(
            kind="message_received",
            data={"conversation_id": 1},
            variables={"sender": kick["name"]},
            not_for=kick["by"],
        )

    def entered(self, delivery: Delivery) -> tuple[str, int]:
        return f"team.{delivery.fields['team']}", delivery.fields["after"]


@pytest.fixture
def teams(_own_registry: None) -> Teams:
    source = Teams()
    sources.register_source(source)
    return source


def own(user: User) -> str:
    return user_topic(user.pk)
