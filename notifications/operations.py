"""The OpenAPI descriptions of the operations on notifications; the code is in `api.py`."""

from __future__ import annotations

from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiRequest,
    OpenApiResponse,
    PolymorphicProxySerializer,
    extend_schema,
)

from notifications import examples, serializers
from notifications.errors import IdempotencyInProgressError, IdempotencyMismatchError
from realtime import gives, path_id, problems, refuses

_TAGS = ["notifications"]
_IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    location=OpenApiParameter.HEADER,
    description=(
        "Makes repeating harmless: for 24 hours the first answer is given again. 1 to 255 ASCII characters."
    ),
    examples=[OpenApiExample("Example", "order-4711-paid")],
)
_CONFLICTS = refuses(
    "The first request with this key is still being answered.", IdempotencyInProgressError()
) | refuses("This key was used for another request.", IdempotencyMismatchError())
_SENT = PolymorphicProxySerializer(
    component_name="NotificationsSent",
    serializers={
        "one": serializers.SentToOneSerializer,
        "many": serializers.SentToManySerializer,
    },
    resource_type_field_name=None,
)

notifications_list = extend_schema(
    operation_id="notifications_list",
    tags=_TAGS,
    summary="Read the inbox",
    description=(
        "The notifications of the user, newest first. A socket that is opened with `?since=` the page's "
        "`last_position` misses nothing that came later."
    ),
    parameters=[serializers.InboxQuerySerializer],
    responses={
        200: gives(serializers.InboxSerializer, examples.INBOX, "A page of the inbox."),
        **problems(400, 401, 403, 429),
    },
)

notifications_send = extend_schema(
    operation_id="notifications_send",
    tags=_TAGS,
    summary="Notify one user or several",
    description=(
        "For other services, which show an API key; no access token of a user may do this. Exactly one of "
        "`user_id`, `username` and `users` says whom; the texts are those of the kind, in the language of "
        "each user."
    ),
    request=OpenApiRequest(
        serializers.NotifySerializer,
        examples=[
            OpenApiExample("one", examples.TO_ONE, summary="One user"),
            OpenApiExample("many", examples.TO_MANY, summary="Several users"),
        ],
    ),
    parameters=[_IDEMPOTENCY_KEY],
    responses={
        201: OpenApiResponse(
            _SENT,
            "What each of them finds in the inbox.",
            [
                OpenApiExample("one", examples.SENT_TO_ONE, summary="To one user"),
                OpenApiExample("many", examples.SENT_TO_MANY, summary="To several users"),
            ],
        ),
        **problems(400, 401, 403),
        **_CONFLICTS,
    },
)

notifications_read = extend_schema(
    operation_id="notifications_read",
    tags=_TAGS,
    summary="Mark a notification as read",
    description="Other devices of the user are told.",
    parameters=[path_id("notification_id", "The notification.", examples.NOTIFICATION_ID)],
    request=None,
    responses={
        200: gives(serializers.UnreadCountSerializer, examples.UNREAD, "How many are unread now."),
        **problems(401, 403, 404, 429),
    },
)

notifications_read_all = extend_schema(
    operation_id="notifications_read_all",
    tags=_TAGS,
    summary="Mark the whole inbox as read",
    description="Other devices of the user are told.",
    request=None,
    responses={
        200: gives(serializers.ReadAllSerializer, examples.ALL_READ, "How many were read by this."),
        **problems(401, 403, 429),
    },
)

notifications_unread_count = extend_schema(
    operation_id="notifications_unread_count",
    tags=_TAGS,
    summary="Count what is unread",
    description="What a badge on a bell shows.",
    responses={
        200: gives(serializers.UnreadCountSerializer, examples.UNREAD, "How many are unread."),
        **problems(401, 403, 429),
    },
)
