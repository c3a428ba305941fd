"""The one way to name an audience: `conversation.42`, `conversation.42.typing`, `user.7`."""

from __future__ import annotations

import re

MAX_TOPIC_LENGTH = 99  # the layer refuses group names of 100 characters
_TOPIC = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*\Z")


def topic(*parts: object) -> str:
    """Join parts into a topic name: dotted, lower case, ASCII."""
    name = ".".join(str(part) for part in parts)
    if len(name) > MAX_TOPIC_LENGTH or not _TOPIC.match(name):
        raise ValueError(f"{name!r} is no topic: expected dotted lower-case ASCII under 100 characters")
    return name


def user_topic(user_id: int) -> str:
    """What concerns one user on all their devices: revocations, memberships, notifications."""
    return topic("user", user_id)
