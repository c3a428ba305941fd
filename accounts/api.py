"""The HTTP edge of accounts. Rules live in `services.py`; here requests are read and answers shaped.

What the OpenAPI document says of each operation is in `operations.py`.
"""

from __future__ import annotations

import uuid
from typing import Any

from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from accounts import operations, selectors, serializers, services
from accounts.authentication import bearer_token, identity_of_request
from accounts.models import User
from accounts.throttling import (
    OldPasswordThrottle,
    RegistrationThrottle,
    SignInThrottle,
)
from accounts.tickets import TICKET_TTL_SECONDS, sell_ticket
from accounts.views import ApiView
from realtime import PublicView, RestThrottle, client_address


def _validated(serializer: type[BaseSerializer[Any]], request: Request, **options: Any) -> dict[str, Any]:
    checked = serializer(data=request.data, **options)
    checked.is_valid(raise_exception=True)
    return dict(checked.validated_data)


class RegisterView(PublicView):
    throttle_classes = [RegistrationThrottle]

    @operations.register
    def post(self, request: Request) -> Response:
        user = services.register(**_validated(serializers.RegisterSerializer, request))
        return Response(serializers.MeSerializer(user).data, status=status.HTTP_201_CREATED)


class TokenView(PublicView):
    throttle_classes = [SignInThrottle]

    @operations.sign_in
    def post(self, request: Request) -> Response:
        pair = services.sign_in(
            **_validated(serializers.SignInSerializer, request),
            user_agent=request.headers.get("User-Agent", ""),
            address=client_address(request),
        )
        return Response(pair)


class RefreshView(PublicView):
    @operations.refresh
    def post(self, request: Request) -> Response:
        return Response(services.refresh(token=_validated(serializers.RefreshSerializer, request)["refresh"]))


class LogoutView(PublicView):
    # Public: a client that refreshes may send an access token that has expired.

    @operations.sign_out
    def post(self, request: Request) -> Response:
        services.sign_out(
            access_token=bearer_token(request.headers.get("Authorization", "")),
            refresh_token=_validated(serializers.LogoutSerializer, request).get("refresh"),
        )
        return Response(status=status.HTTP_204_NO_CONTENT)


class PasswordView(ApiView):
    throttle_classes = [OldPasswordThrottle, RestThrottle]

    @operations.change_password
    def post(self, request: Request) -> Response:
        identity = identity_of_request(request)
        services.change_password(
            user=identity.user,
            keep=identity.session_id,
            **_validated(serializers.PasswordSerializer, request),
        )
        return Response(status=status.HTTP_204_NO_CONTENT)


class MeView(ApiView):
    @operations.me
    def get(self, request: Request) -> Response:
        return Response(serializers.MeSerializer(_user(request)).data)

    @operations.update_me
    def patch(self, request: Request) -> Response:
        user = _user(request)
        changes = _validated(serializers.MeSerializer, request, partial=True)
        if changes.get("email") not in (None, "", user.email):
            # Counted as a registration, because this answer too tells whether an e-mail is taken.
            RegistrationThrottle().allow_request(request, self)
        user = services.update_profile(user=user, **changes)
        return Response(serializers.MeSerializer(user).data)


class TicketView(ApiView):
    @operations.ws_ticket
    def post(self, request: Request) -> Response:
        identity = identity_of_request(request)
        ticket = sell_ticket(identity=identity, origin=request.headers.get("Origin", ""))
        return Response({"ticket": ticket, "expires_in": TICKET_TTL_SECONDS})


class SessionsView(ApiView):
    @operations.list_sessions
    def get(self, request: Request) -> Response:
        identity = identity_of_request(request)
        listed = {"results": selectors.live_sessions(identity.user)}
        context = {"session_id": identity.session_id}
        return Response(serializers.SessionsSerializer(listed, context=context).data)


class SessionView(ApiView):
    @operations.revoke_session
    def delete(self, request: Request, session_id: uuid.UUID) -> Response:
        services.revoke_session(user=_user(request), session_id=session_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


def _user(request: Request) -> User:
    return identity_of_request(request).user
