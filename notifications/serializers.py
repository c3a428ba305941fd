"""What notifications look like over HTTP: input checked for shape, rows like the socket's frames."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from notifications.models import Notification
from notifications.texts import MAX_MESSAGE_CHARACTERS, MAX_TITLE_CHARACTERS
from realtime import MAX_INTEGER, QuerySerializer

DEFAULT_PAGE, MAX_PAGE = 50, 200
#: People told by one request.
MAX_RECIPIENTS = 1_000


class IdField(serializers.IntegerField):
    """An id that every JSON reader can hold."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=1, max_value=MAX_INTEGER, **kwargs)


class NotificationSerializer(serializers.ModelSerializer[Notification]):
    """An entry of the inbox: what the socket showed (`type` is the kind), and whether it was read."""

    type = serializers.CharField(source="kind", read_only=True)

    class Meta:
        model = Notification
        fields = ("id", "type", "kind", "title", "message", "data", "created_at", "read_at", "count")
        read_only_fields = fields


class SentToOneSerializer(NotificationSerializer):
    """An entry as the service that sent it sees it."""

    user_id = serializers.IntegerField(read_only=True)

    class Meta(NotificationSerializer.Meta):
        fields = ("id", "user_id", "type", "kind", "title", "message", "data", "created_at", "count")
        read_only_fields = fields


class SentToManySerializer(serializers.Serializer[Any]):
    results = SentToOneSerializer(many=True)


class InboxQuerySerializer(QuerySerializer):
    before = IdField(required=False, help_text="Older than the entry of this id.")
    after = serializers.IntegerField(
        min_value=0, max_value=MAX_INTEGER, required=False, help_text="Newer than the entry of this id."
    )
    limit = serializers.IntegerField(min_value=1, max_value=MAX_PAGE, default=DEFAULT_PAGE)
    unread = serializers.BooleanField(default=False, help_text="Only what is unread.")


class InboxSerializer(serializers.Serializer[Any]):
    """A page, newest first. A socket opened with `?since=<last_position>` misses nothing that came later."""

    results = NotificationSerializer(many=True)
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    has_more = serializers.BooleanField()
    unread_count = serializers.IntegerField()
    last_seq = serializers.IntegerField()
    last_position = serializers.CharField()


class UnreadCountSerializer(serializers.Serializer[Any]):
    unread_count = serializers.IntegerField()


class ReadAllSerializer(serializers.Serializer[Any]):
    read = serializers.IntegerField(help_text="How many entries that were.")
    unread_count = serializers.IntegerField()


@extend_schema_field({"oneOf": [{"type": "integer"}, {"type": "string"}]})
class RecipientField(serializers.Field[Any, Any, Any, Any]):
    """A user, by id or by username."""

    default_error_messages = {"invalid": "Expected the id or the username of a user."}

    def to_internal_value(self, data: Any) -> int | str:
        if isinstance(data, str):
            return str(serializers.CharField(max_length=150).run_validation(data))
        if isinstance(data, bool) or not isinstance(data, int) or not 0 < data <= MAX_INTEGER:
            self.fail("invalid")
        return data

    def to_representation(self, value: Any) -> Any:
        return value


class NotifySerializer(serializers.Serializer[Any]):
    """What a service tells, and whom: exactly one of `user_id`, `username` and `users`."""

    user_id = IdField(required=False)
    username = serializers.CharField(max_length=150, required=False)
    users = serializers.ListField(
        child=RecipientField(),
        allow_empty=False,
        max_length=MAX_RECIPIENTS,
        required=False,
        help_text="Ids or usernames.",
    )
    kind = serializers.CharField(max_length=64)
    data = serializers.DictField(  # type: ignore[assignment]  # a field of ours, not the serializer's attribute
        required=False, help_text="What the kind requires, and more if you like."
    )
    title = serializers.CharField(
        max_length=MAX_TITLE_CHARACTERS, required=False, help_text="Instead of the kind's own, untranslated."
    )
    message = serializers.CharField(max_length=MAX_MESSAGE_CHARACTERS, required=False, help_text="The same.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        given = [name for name in ("user_id", "username", "users") if name in attrs]
        if len(given) != 1:
            raise serializers.ValidationError("Exactly one of user_id, username and users is required.")
        recipients = attrs.pop(given[0])
        attrs["recipients"] = recipients if given == ["users"] else [recipients]
        attrs["is_for_many"] = given == ["users"]
        return attrs
