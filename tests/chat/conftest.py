"""Fixtures for the tests of chat: conversations between people, and clients of REST."""

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings as django_settings
from rest_framework.test import APIClient

from accounts.models import User
from accounts.tokens import access_token
from chat import limits, send_queue
from chat.models import Conversation
from realtime.database import threads
from realtime.http.throttling import RestThrottle
from tests.factories import make_conversation, make_user


@pytest.fixture(autouse=True)
def _full_buckets() -> None:
    """Forget all buckets, so that no test is limited by the one before it."""
    RestThrottle.buckets.clear()
    limits._sends.clear()
    limits._invitations.clear()
    limits._cursors.clear()


@pytest.fixture
def relais(settings: Any) -> Callable[..., None]:
    """`relais(replay_page=2)` changes settings of ours, for this test."""

    def change(**values: object) -> None:
        settings.RELAIS = {**django_settings.RELAIS, **values}

    return change


@pytest.fixture
def unlimited(relais: Callable[..., None]) -> None:
    """Limits on mistakes are off, for tests that make many; tests of their own are about those limits."""
    relais(limit_mistakes="off", limit_frames="off", limit_sends="off")


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time limits do not matter on a busy machine: an answer comes only because of what happened."""
    for module in (send_queue, threads):
        monkeypatch.setattr(module, "ANSWER_SECONDS", 30)
    monkeypatch.setattr(threads, "DATABASE_SECONDS", 25)
    monkeypatch.setattr(send_queue, "LOCK_SECONDS", 20)


@pytest.fixture
def dora(db: None) -> User:
    """The third member of the group."""
    return make_user("dora")


@pytest.fixture
def conversation(ana: User, bruno: User) -> Conversation:
    """Ana and Bruno, direct."""
    return make_conversation(ana, bruno)


@pytest.fixture
def group(ana: User, bruno: User, dora: User) -> Conversation:
    """Ana owns it; Bruno and Dora are members."""
    return make_conversation(ana, bruno, dora, title="Project")


@pytest.fixture
def api() -> Callable[[User | None], APIClient]:
    """`api(ana)`: a client with an access token; `api(None)`: a client without one."""

    def client_of(user: User | None) -> APIClient:
        client = APIClient(raise_request_exception=False)
        if user is not None:
            client.credentials(HTTP_AUTHORIZATION=f"Bearer {access_token(user)}")
        return client

    return client_of
