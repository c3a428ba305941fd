"""The OpenAPI descriptions of the operations on accounts; `api.py` has the code."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiResponse, extend_schema

from accounts import examples, serializers
from realtime import gives, path_uuid, problems, takes

_TAGS = ["accounts"]
_DONE = OpenApiResponse(description="Done.")

register = extend_schema(
    operation_id="register",
    tags=_TAGS,
    summary="Create an account",
    description=(
        "Neither the username nor the e-mail may be, or look like, those of anybody else. Sign in afterwards."
    ),
    request=takes(serializers.RegisterSerializer, examples.REGISTRATION),
    responses={
        201: gives(serializers.MeSerializer, examples.REGISTERED, "The account."),
        **problems(400, 429, 503),
    },
)

sign_in = extend_schema(
    operation_id="sign_in",
    tags=_TAGS,
    summary="Sign in with a username or an e-mail",
    description="Opens a session, and answers an access token and a refresh token of it.",
    request=takes(serializers.SignInSerializer, examples.SIGN_IN),
    responses={
        200: gives(serializers.PairSerializer, examples.PAIR, "The tokens of a new session."),
        **problems(400, 401, 429, 503),
    },
)

refresh = extend_schema(
    operation_id="refresh",
    tags=_TAGS,
    summary="Trade a refresh token for the next pair",
    description=(
        "A refresh token is used up by this. Asked again with it within 60 s, because an answer was lost, "
        "the next refresh token is the same; later, or once the next one was used, the session ends."
    ),
    request=takes(serializers.RefreshSerializer, examples.REFRESHING),
    responses={
        200: gives(serializers.PairSerializer, examples.PAIR, "The next tokens of the session."),
        **problems(400, 401, 403, 429),
    },
)

sign_out = extend_schema(
    operation_id="sign_out",
    tags=_TAGS,
    summary="End a session",
    description=(
        "Ends the session of the access token, of the refresh token, or of both, and closes its sockets. "
        "An access token that has expired does not stand in the way of a refresh token."
    ),
    request=takes(serializers.LogoutSerializer, examples.REFRESHING),
    responses={204: _DONE, **problems(400, 401, 403, 429)},
    auth=[{"bearer": []}, {}],  # type: ignore[list-item]  # what OpenAPI takes; its hint says str
)

change_password = extend_schema(
    operation_id="change_password",
    tags=_TAGS,
    summary="Change the password",
    description="Ends every other session of the user, and closes the sockets of those.",
    request=takes(serializers.PasswordSerializer, examples.NEW_PASSWORD),
    responses={204: _DONE, **problems(400, 401, 403, 429, 503)},
)

me = extend_schema(
    operation_id="me",
    tags=_TAGS,
    summary="Show the account",
    description="The user whom the access token speaks for.",
    responses={
        200: gives(serializers.MeSerializer, examples.ME, "The account."),
        **problems(401, 403, 429),
    },
)

update_me = extend_schema(
    operation_id="update_me",
    tags=_TAGS,
    summary="Change the account",
    description=(
        "Changes the fields that are given: e-mail, language, names, and what others are told of the user."
    ),
    request=takes(serializers.MeSerializer, examples.CHANGES),
    responses={
        200: gives(serializers.MeSerializer, examples.ME_CHANGED, "The account as it is now."),
        **problems(400, 401, 403, 429),
    },
)

ws_ticket = extend_schema(
    operation_id="ws_ticket",
    tags=_TAGS,
    summary="Get a ticket for a socket",
    description=(
        "Opens one socket as `?ticket=…`, once, within 30 s and from the same Origin; so that no token is "
        "in an address."
    ),
    request=None,
    responses={
        200: gives(serializers.TicketSerializer, examples.TICKET, "The ticket."),
        **problems(400, 401, 403, 429),
    },
)

list_sessions = extend_schema(
    operation_id="list_sessions",
    tags=_TAGS,
    summary="List the sessions",
    description="The devices that the user is signed in on.",
    responses={
        200: gives(serializers.SessionsSerializer, examples.SESSIONS, "All sessions that have not ended."),
        **problems(401, 403, 429),
    },
)

revoke_session = extend_schema(
    operation_id="revoke_session",
    tags=_TAGS,
    summary="End one of the sessions",
    description="Signs a device out and closes its sockets.",
    parameters=[path_uuid("session_id", "The session.", examples.SESSION_ID)],
    responses={204: _DONE, **problems(401, 403, 404, 429)},
)
