"""The serializers of notifications: they check the shape of input, and show rows as the sockets do."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from notifications.models import Notification
from notifications.texts import MAX_MESSAGE_CHARACTERS, MAX_TITLE_CHARACTERS
from realtime import MAX_INTEGER, QuerySerializer

DEFAULT_PAGE, MAX_PAGE = 50, 200
#: Users notified by one request.
MAX_RECIPIENTS = 1_000


class IdField(serializers.IntegerField):
    """An id that every JSON reader can hold."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=1, max_value=MAX_INTEGER, **kwargs)


class NotificationSerializer(serializers.ModelSerializer[Notification]):
    """An entry of the inbox: the fields that a socket was sent, and when it was read."""

    type = serializers.CharField(source="kind", read_only=True, help_text="The kind, as a socket calls it.")

    class Meta:
        model = Notification
        fields = ("id", "type", "kind", "title", "message", "data", "created_at", "read_at", "count")
        read_only_fields = fields
        extra_kwargs: ClassVar = {"count": {"help_text": "How many events it stands for."}}


class SentToOneSerializer(NotificationSerializer):
    """A notification that one user was sent."""

    user_id = serializers.IntegerField(read_only=True)

    class Meta(NotificationSerializer.Meta):
        fields = ("id", "user_id", "type", "kind", "title", "message", "data", "created_at", "count")
        read_only_fields = fields


class SentToManySerializer(serializers.Serializer[Any]):
    """The notifications that several users were sent."""

    results = SentToOneSerializer(many=True)


class InboxQuerySerializer(QuerySerializer):
    before = IdField(required=False, help_text="Older than the entry of this id.")
    after = serializers.IntegerField(
        min_value=0, max_value=MAX_INTEGER, required=False, help_text="Newer than the entry of this id."
    )
    limit = serializers.IntegerField(
        min_value=1, max_value=MAX_PAGE, default=DEFAULT_PAGE, help_text="How many at most."
    )
    unread = serializers.BooleanField(default=False, help_text="Only what is unread.")


class _Inbox(serializers.Serializer[Any]):
    results = NotificationSerializer(many=True)
    has_more = serializers.BooleanField(help_text="Whether there are older entries.")
    unread_count = serializers.IntegerField(help_text="Of the whole inbox.")
    last_seq = serializers.IntegerField(help_text="The seq of the last event of the user.")
    last_position = serializers.CharField(help_text="The position there: resume a socket from here.")


class InboxSerializer(_Inbox):
    """A page, newest first. A socket opened with `?since=<last_position>` misses nothing that came later."""

    next = serializers.URLField(allow_null=True, help_text="The older page.")
    previous = serializers.URLField(allow_null=True, help_text="The newer page.")


class InboxPageSerializer(_Inbox):
    """A page, newest first, on a socket."""

    older_before = serializers.IntegerField(allow_null=True, help_text="The `before` of the older page.")
    newer_after = serializers.IntegerField(allow_null=True, help_text="The `after` of the newer page.")


class UnreadCountSerializer(serializers.Serializer[Any]):
    """The number of unread entries."""

    unread_count = serializers.IntegerField()


class ReadAllSerializer(serializers.Serializer[Any]):
    """The number of entries that were marked as read."""

    read = serializers.IntegerField(help_text="How many entries were unread before.")
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
    """A notification and its recipients: exactly one of `user_id`, `username` and `users`."""

    user_id = IdField(required=False)
    username = serializers.CharField(max_length=150, required=False)
    users = serializers.ListField(
        child=RecipientField(),
        allow_empty=False,
        max_length=MAX_RECIPIENTS,
        required=False,
        help_text="Ids or usernames.",
    )
    kind = serializers.CharField(max_length=64, help_text="One that the server knows.")
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
