"""The HTTP API of notifications: the inbox for its owner, and sending for other services.

What the OpenAPI document says of each operation is in `operations.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import urlencode

from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle

from accounts.authentication import BearerAuthentication, identity_of_request
from accounts.views import ApiView
from notifications import answers, idempotency, operations, selectors, serializers, services
from notifications.service_keys import IsService, Service, ServiceKeyAuthentication
from realtime import PROBLEM_JSON, NotFoundError


class InboxView(ApiView):
    """GET: the user's inbox. POST: a service sends a notification."""

    def get_authenticators(self) -> Sequence[BaseAuthentication]:  # type: ignore[override]  # any sequence is read
        # While the OpenAPI document is made, no request exists.
        services_too = [ServiceKeyAuthentication()] if getattr(self.request, "method", "") == "POST" else []
        return [*services_too, BearerAuthentication()]

    def get_permissions(self) -> Sequence[BasePermission]:
        return [IsService() if self.request.method == "POST" else IsAuthenticated()]

    def get_throttles(self) -> list[BaseThrottle]:
        # A service sends for many users, and is trusted not to flood.
        return [] if self.request.method == "POST" else super().get_throttles()

    @operations.notifications_list
    def get(self, request: Request) -> Response:
        query = _checked(serializers.InboxQuerySerializer, request.query_params)
        page = answers.inbox(_user_id(request), **query)
        older_before, newer_after = page.pop("older_before"), page.pop("newer_after")
        older = newer = None
        if older_before is not None:
            # A link to older pages keeps the lower bound that this request has.
            within = {"after": query["after"]} if {"before", "after"} <= query.keys() else {}
            older = _link(request, query, before=older_before, **within)
        if newer_after is not None:
            newer = _link(request, query, after=newer_after)
        return Response({"results": page.pop("results"), "next": older, "previous": newer, **page})

    @operations.notifications_send
    def post(self, request: Request) -> Response:
        wish = _checked(serializers.NotifySerializer, request.data)
        key = request.headers.get("Idempotency-Key")
        if key is None:
            return Response(_send(wish), status=201)
        service = cast("Service", request.auth)
        answer = idempotency.answer_once(
            scope=service.scope, key=key, request=dict(request.data), work=lambda: _send(wish)
        )
        return Response(
            answer.body,
            status=answer.status,
            content_type=PROBLEM_JSON if answer.status >= 400 else None,
            headers={"Idempotent-Replayed": "true"} if answer.is_replayed else None,
        )


class ReadView(ApiView):
    @operations.notifications_read
    def post(self, request: Request, notification_id: int) -> Response:
        user_id = _user_id(request)
        if selectors.notification_of(user_id=user_id, notification_id=notification_id) is None:
            raise NotFoundError
        return Response({"unread_count": services.mark_read(user_id=user_id, ids=[notification_id])})


class ReadAllView(ApiView):
    @operations.notifications_read_all
    def post(self, request: Request) -> Response:
        return Response(answers.read_all(_user_id(request)))


class UnreadCountView(ApiView):
    @operations.notifications_unread_count
    def get(self, request: Request) -> Response:
        return Response({"unread_count": selectors.unread_count(_user_id(request))})


def _send(wish: dict[str, Any]) -> dict[str, Any]:
    wish = dict(wish)
    users = selectors.users_named(wish.pop("recipients"))
    is_for_many = wish.pop("is_for_many")
    sent = services.notify_many(users=users, data=wish.pop("data", {}), **wish)
    if is_for_many:
        return {"results": list(serializers.SentToOneSerializer(sent, many=True).data)}
    return dict(serializers.SentToOneSerializer(sent[0]).data)


def _checked(serializer: type[Any], data: Any) -> dict[str, Any]:
    checked = serializer(data=data)
    checked.is_valid(raise_exception=True)
    return dict(checked.validated_data)


def _user_id(request: Request) -> int:
    return int(identity_of_request(request).user.pk)


def _link(request: Request, query: dict[str, Any], **cursor: int) -> str:
    parameters = {**cursor, "limit": query["limit"], **({"unread": 1} if query["unread"] else {})}
    return request.build_absolute_uri(f"{request.path}?{urlencode(parameters)}")
