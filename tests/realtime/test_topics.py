"""Topic names."""

import pytest

from realtime.topics import topic, user_topic


def test_parts_are_joined_with_dots() -> None:
    assert topic("conversation", 42, "typing") == "conversation.42.typing"
    assert user_topic(7) == "user.7"


@pytest.mark.parametrize("part", ["", "Ana", "a b", "é", "a/b", ".", "x" * 100])
def test_what_cannot_be_a_topic_is_refused(part: str) -> None:
    with pytest.raises(ValueError, match="is no topic"):
        topic("user", part)
