"""Fixtures for the typing indicator: a conversation, and a clock that only a test moves."""

from types import SimpleNamespace

import pytest

from accounts.models import User
from chat.models import Conversation
from tests.factories import make_conversation
from typing_indicator import voices


@pytest.fixture
def conversation(ana: User, bruno: User) -> Conversation:
    return make_conversation(ana, bruno)


@pytest.fixture
def group(ana: User, bruno: User, clara: User) -> Conversation:
    """A group in which Clara is a member too."""
    return make_conversation(ana, bruno, clara, title="Project")


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the typing sockets."""
    stopped = Clock()
    monkeypatch.setattr(voices, "time", SimpleNamespace(monotonic=stopped.monotonic))
    return stopped
