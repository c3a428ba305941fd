"""What the tests of the typing indicator share: a conversation, and a clock that stands until it is moved."""

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
    """Here Clara is no stranger."""
    return make_conversation(ana, bruno, clara, title="Project")


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The typing sockets' clock."""
    stopped = Clock()
    monkeypatch.setattr(voices, "time", SimpleNamespace(monotonic=stopped.monotonic))
    return stopped
