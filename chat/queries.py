"""The query strings of lists: which page of a history, or of the conversations."""

from __future__ import annotations

import re
from typing import Any

from rest_framework import serializers

from chat.selectors import DEFAULT_PAGE, MAX_PAGE, Activity, ListPosition
from realtime import MAX_INTEGER, QuerySerializer

#: Two moments in milliseconds until the year 9999, and an id between them.
CURSOR = "([0-9]{1,15})-([0-9]{1,16})-([0-9]{1,15})"
_LIST_CURSOR = re.compile(CURSOR)


class SeqField(serializers.IntegerField):
    """A position in a conversation."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=0, max_value=MAX_INTEGER, **kwargs)


class HistoryQuerySerializer(QuerySerializer):
    before = SeqField(required=False, help_text="Only messages below this seq.")
    after = SeqField(required=False, help_text="Only messages above this seq.")
    limit = serializers.IntegerField(
        min_value=1, max_value=MAX_PAGE, default=DEFAULT_PAGE, help_text="How many at most."
    )


class ListCursorField(serializers.CharField):
    """The cursor of a page of conversations, as the `next` link of the page before has it."""

    default_error_messages = {"invalid": "Not the cursor of a `next` link."}

    def to_internal_value(self, data: Any) -> Any:
        position = read_cursor(data)
        if position is None:
            self.fail("invalid")
        return position


def read_cursor(text: object) -> ListPosition | None:
    """The position that a cursor stands for; None for a text that is no cursor."""
    found = _LIST_CURSOR.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    active_at, conversation_id, as_of = (int(number) for number in found.groups())
    return ListPosition(Activity(active_at, conversation_id), as_of)


def cursor_text(position: ListPosition) -> str:
    """The cursor of a position; `read_cursor` reads it."""
    return f"{position.below.active_at}-{position.below.conversation_id}-{position.as_of}"


class ConversationQuerySerializer(QuerySerializer):
    cursor = ListCursorField(required=False, help_text="From a `next` link.")
    before = SeqField(required=False, help_text="From a `next` link of before there were cursors: by id.")
    limit = serializers.IntegerField(
        min_value=1, max_value=MAX_PAGE, default=DEFAULT_PAGE, help_text="How many at most."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "cursor" in attrs and "before" in attrs:
            raise serializers.ValidationError(
                {"before": ["Not together with a cursor: they order by different things."]}
            )
        return attrs
