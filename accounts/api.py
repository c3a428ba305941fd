"""The HTTP edge of accounts. Rules live in `services.py`; here requests are read and answers shaped."""

from __future__ import annotations

import uuid
from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from accounts import selectors, serializers, services
from accounts.authentication import bearer_token, identity_of_request
from accounts.models import User
from accounts.schema import problems
from accounts.throttling import (
    OldPasswordThrottle,
    RegistrationThrottle,
    SignInThrottle,
)
from accounts.tickets import TICKET_TTL_SECONDS, sell_ticket
from accounts.views import ApiView
from realtime import PublicView, RestThrottle, client_address

NO_CONTENT = OpenApiResponse(description="Done.")


def _validated(serializer: type[BaseSerializer[Any]], request: Request, **options: Any) -> dict[str, Any]:
    checked = serializer(data=request.data, **options)
    checked.is_valid(raise_exception=True)
    return dict(checked.validated_data)


class RegisterView(PublicView):
    throttle_classes = [RegistrationThrottle]

    @extend_schema(
        operation_id="register",
        summary="Create an account",
        request=serializers.RegisterSerializer,
        responses={201: serializers.MeSerializer, **problems(400, 429, 503)},
    )
    def post(self, request: Request) -> Response:
        user = services.register(**_validated(serializers.RegisterSerializer, request))
        return Response(serializers.MeSerializer(user).data, status=status.HTTP_201_CREATED)


class TokenView(PublicView):
    throttle_classes = [SignInThrottle]

    @extend_schema(
        operation_id="sign_in",
        summary="Sign in with a username or an e-mail",
        request=serializers.SignInSerializer,
        responses={200: serializers.PairSerializer, **problems(400, 401, 429, 503)},
    )
    def post(self, request: Request) -> Response:
        pair = services.sign_in(
            **_validated(serializers.SignInSerializer, request),
            user_agent=request.headers.get("User-Agent", ""),
            address=client_address(request),
        )
        return Response(pair)


class RefreshView(PublicView):
    @extend_schema(
        operation_id="refresh",
        summary="Trade a refresh token for the next pair, once",
        request=serializers.RefreshSerializer,
        responses={200: serializers.PairSerializer, **problems(400, 401, 403, 429)},
    )
    def post(self, request: Request) -> Response:
        return Response(services.refresh(token=_validated(serializers.RefreshSerializer, request)["refresh"]))


class LogoutView(PublicView):
    # Public, because who comes with a refresh token may have an access token that has expired.

    @extend_schema(
        operation_id="sign_out",
        summary="End the session of the access token, of the refresh token, or of both",
        request=serializers.LogoutSerializer,
        responses={204: NO_CONTENT, **problems(400, 401, 403, 429)},
        auth=[{"bearer": []}, {}],  # type: ignore[list-item]  # what OpenAPI takes; its hint says str
    )
    def post(self, request: Request) -> Response:
        services.sign_out(
            access_token=bearer_token(request.headers.get("Authorization", "")),
            refresh_token=_validated(serializers.LogoutSerializer, request).get("refresh"),
        )
        return Response(status=status.HTTP_204_NO_CONTENT)


class PasswordView(ApiView):
    throttle_classes = [OldPasswordThrottle, RestThrottle]

    @extend_schema(
        operation_id="change_password",
        summary="Change the password and sign out everywhere else",
        request=serializers.PasswordSerializer,
        responses={204: NO_CONTENT, **problems(400, 401, 403, 429, 503)},
    )
    def post(self, request: Request) -> Response:
        identity = identity_of_request(request)
        services.change_password(
            user=identity.user,
            keep=identity.session_id,
            **_validated(serializers.PasswordSerializer, request),
        )
        return Response(status=status.HTTP_204_NO_CONTENT)


class MeView(ApiView):
    @extend_schema(
        operation_id="me",
        summary="Who am I",
        responses={200: serializers.MeSerializer, **problems(401, 403, 429)},
    )
    def get(self, request: Request) -> Response:
        return Response(serializers.MeSerializer(_user(request)).data)

    @extend_schema(
        operation_id="update_me",
        summary="Change my e-mail, language, name, or what others are told of me",
        request=serializers.MeSerializer,
        responses={200: serializers.MeSerializer, **problems(400, 401, 403, 429)},
    )
    def patch(self, request: Request) -> Response:
        user = _user(request)
        changes = _validated(serializers.MeSerializer, request, partial=True)
        if changes.get("email") not in (None, "", user.email):
            # The answer tells whether it is somebody's, as that of a registration does.
            RegistrationThrottle().allow_request(request, self)
        user = services.update_profile(user=user, **changes)
        return Response(serializers.MeSerializer(user).data)


class TicketView(ApiView):
    @extend_schema(
        operation_id="ws_ticket",
        summary="Buy the right to open one socket, once, within 30 seconds",
        request=None,
        responses={200: serializers.TicketSerializer, **problems(400, 401, 403, 429)},
    )
    def post(self, request: Request) -> Response:
        identity = identity_of_request(request)
        ticket = sell_ticket(identity=identity, origin=request.headers.get("Origin", ""))
        return Response({"ticket": ticket, "expires_in": TICKET_TTL_SECONDS})


class SessionsView(ApiView):
    @extend_schema(
        operation_id="list_sessions",
        summary="The devices I am signed in on",
        responses={200: serializers.SessionsSerializer, **problems(401, 403, 429)},
    )
    def get(self, request: Request) -> Response:
        identity = identity_of_request(request)
        listed = {"results": selectors.live_sessions(identity.user)}
        context = {"session_id": identity.session_id}
        return Response(serializers.SessionsSerializer(listed, context=context).data)


class SessionView(ApiView):
    @extend_schema(
        operation_id="revoke_session",
        summary="Sign one of my devices out",
        responses={204: NO_CONTENT, **problems(401, 403, 404, 429)},
    )
    def delete(self, request: Request, session_id: uuid.UUID) -> Response:
        services.revoke_session(user=_user(request), session_id=session_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


def _user(request: Request) -> User:
    return identity_of_request(request).user
