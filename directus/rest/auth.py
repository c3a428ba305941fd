"""`/auth`: signing in, refreshing and signing out, in the three modes of the SDK.

A mode says where the tokens travel: `json` has both in the body, `cookie` has the refresh token in a cookie,
and `session` has nothing but a session token in a cookie.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework_simplejwt.settings import api_settings

from accounts.tokens import Pair, claims_of, session_token_lifetime
from directus import credentials
from directus.credentials import REFRESH_COOKIE, SESSION_COOKIE
from directus.errors import InvalidPayloadError
from directus.rest.authentication import refuse_foreign_page
from directus.rest.views import OpenView, body, nothing, shown

MODES = ("json", "cookie", "session")
#: Seconds for which a session token counts as new.
NEW_SECONDS = 5


class ProvidersView(OpenView):
    """GET /auth: the ways to sign in besides e-mail and password."""

    def get(self, request: Request) -> Response:
        answer = shown([])
        answer.data["disableDefault"] = False
        return answer


class LoginView(OpenView):
    """POST /auth/login."""

    throttle_classes = []  # one that can be understood is counted by the limits of signing in

    def post(self, request: Request) -> Response:
        mode = _mode(body(request), otherwise="json")
        if mode != "json":
            refuse_foreign_page(request)
        who: dict[str, Any] = {
            "email": _text(body(request), "email"),
            "password": _text(body(request), "password"),
            "source": request,
            "user_agent": request.headers.get("User-Agent", ""),
        }
        request.is_counted = True  # type: ignore[attr-defined]  # a note of ours, for `exception_handler`
        if mode == "session":
            return _with_session(credentials.sign_in_for_cookie(**who))
        return _with_pair(credentials.sign_in(**who), mode)


class RefreshView(OpenView):
    """POST /auth/refresh."""

    def post(self, request: Request) -> Response:
        mode, token = _offered(request)
        if mode == "session":
            return _with_session(credentials.renew(token))
        return _with_pair(credentials.refresh(token), mode)


class LogoutView(OpenView):
    """POST /auth/logout. Also a token that is not valid any more is taken away, with its cookie."""

    def post(self, request: Request) -> Response:
        mode, token = _offered(request)
        if mode == "session":
            credentials.sign_out(session_token=token)
        else:
            credentials.sign_out(refresh_token=token)
        answer = nothing()
        if mode != "json":
            name = SESSION_COOKIE if mode == "session" else REFRESH_COOKIE
            answer.delete_cookie(name, path="/", samesite="Lax")
        return answer


class PasswordRequestView(OpenView):
    """POST /auth/password/request. No mail is sent: this server sends none."""

    def post(self, request: Request) -> Response:
        _text(body(request), "email")
        return nothing()


class PasswordResetView(OpenView):
    """POST /auth/password/reset. No token was ever sent to anybody, so none changes a password."""

    def post(self, request: Request) -> Response:
        _text(body(request), "token")
        _text(body(request), "password")
        return nothing()


def _mode(members: Mapping[str, Any], *, otherwise: str) -> str:
    mode = members.get("mode")
    if mode is None:
        return otherwise
    if mode not in MODES:
        raise InvalidPayloadError(f"mode is one of {', '.join(MODES)}.")
    return str(mode)


def _text(members: Mapping[str, Any], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidPayloadError(f"{name} is missing, or no text.")
    return value


def _offered(request: Request) -> tuple[str, str]:
    """The mode and the token of a request that refreshes or signs out."""
    members = body(request)
    mode = _mode(members, otherwise="json" if members.get("refresh_token") else "cookie")
    if mode == "json":
        return mode, _text(members, "refresh_token")
    token = request.COOKIES.get(SESSION_COOKIE if mode == "session" else REFRESH_COOKIE)
    if not token:
        raise InvalidPayloadError("a refresh token is needed, in the body or in the cookie.")
    refuse_foreign_page(request)
    return mode, token


def _with_pair(pair: Pair, mode: str) -> Response:
    lifetime = api_settings.ACCESS_TOKEN_LIFETIME  # its time begins now, also where the refresh is repeated
    data = {"expires": _milliseconds(lifetime.total_seconds()), "access_token": pair["access"]}
    if mode == "json":
        return shown({**data, "refresh_token": pair["refresh"]})
    answer = shown(data)
    _set_cookie(answer, REFRESH_COOKIE, pair["refresh"], api_settings.REFRESH_TOKEN_LIFETIME)
    return answer


def _with_session(token: str) -> Response:
    lifetime = session_token_lifetime()
    # One that is given again is as old as the first answer; its end is cut to a second.
    left = claims_of(token).expires_at - time.time()
    seconds = lifetime.total_seconds()
    answer = shown({"expires": _milliseconds(seconds if seconds - left < NEW_SECONDS else left)})
    _set_cookie(answer, SESSION_COOKIE, token, lifetime)
    return answer


def _milliseconds(seconds: float) -> int:
    return int(seconds) * 1000


def _set_cookie(answer: Response, name: str, value: str, lifetime: timedelta) -> None:
    answer.set_cookie(
        name,
        value,
        max_age=lifetime,
        path="/",
        httponly=True,
        samesite="Lax",
        secure=settings.SESSION_COOKIE_SECURE,
    )
