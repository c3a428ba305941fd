"""Makes people, and conversations between them."""

from typing import Any

from accounts.models import User
from chat.models import Conversation
from chat.services import create_conversation

PASSWORD = "demo-password"


def make_user(username: str, **fields: Any) -> User:
    """An active user who can sign in with `PASSWORD`."""
    return User.objects.create_user(username=username, password=PASSWORD, **fields)


def make_conversation(*participants: User, title: str = "") -> Conversation:
    """A conversation created by the first of its participants; with three or a title it is a group."""
    creator, *others = participants
    return create_conversation(creator=creator, participants=others, title=title)
