"""The rights of callers: the expected answer of every endpoint and every command, for each kind of caller.

The callers: `anonymous`; `stranger`, of another tenant; `former`, removed from the conversation; `superuser`
of the site, a member of nothing; `member`; and `admin`, who owns the conversation, the message, the session
and the notification that the requests are about.
"""

from __future__ import annotations

from typing import Any, NamedTuple

OUTSIDERS = ("stranger", "former", "superuser")
INSIDERS = ("member", "admin")
CALLERS = ("anonymous", *OUTSIDERS, *INSIDERS)

Answers = dict[str, Any]


class Rule(NamedTuple):
    """The answer of an endpoint to each caller who sends this body."""

    answers: Answers
    body: Any = None


def _rule(outsiders: int, member: int, admin: int, body: Any = None, *, anonymous: int = 401) -> Rule:
    return Rule(
        {"anonymous": anonymous, **dict.fromkeys(OUTSIDERS, outsiders), "member": member, "admin": admin},
        body,
    )


def members_only(status: int = 200, body: Any = None) -> Rule:
    return _rule(404, status, status, body)


def admins_only(status: int = 200, body: Any = None) -> Rule:
    """A rule for managers: plain members know that the thing exists, so they are told that they may not."""
    return _rule(404, 403, status, body)


def owner_only(status: int = 200, body: Any = None) -> Rule:
    """A rule for things of one person; nobody else is told that they exist."""
    return _rule(404, 404, status, body)


def ones_own(status: int = 200, body: Any = None) -> Rule:
    """A rule for requests of signed-in users about themselves."""
    return _rule(status, status, status, body)


def nobody(status: int, body: Any = None) -> Rule:
    return _rule(status, status, status, body, anonymous=status)


CONVERSATION = "/api/conversations/<id:conversation_id>/"
MESSAGE = CONVERSATION + "messages/<id:message_id>/"
MEMBER = CONVERSATION + "members/<id:user_id>/"
PASSWORDS = {"old_password": "demo-password", "new_password": "another-Long-one-7"}

HTTP: dict[tuple[str, str], Rule] = {
    ("/api/conversations/", "GET"): ones_own(),
    ("/api/conversations/", "POST"): ones_own(201, {"participants": ["stranger", "former"], "title": "new"}),
    (CONVERSATION, "GET"): members_only(),
    (CONVERSATION, "PATCH"): admins_only(body={"title": "new"}),
    (CONVERSATION + "messages/", "GET"): members_only(),
    (CONVERSATION + "messages/", "POST"): members_only(201, {"message": "hello"}),
    (MESSAGE, "PATCH"): admins_only(body={"message": "new"}),
    (MESSAGE, "DELETE"): admins_only(),
    (CONVERSATION + "members/", "GET"): members_only(),
    (CONVERSATION + "members/", "POST"): admins_only(201, {"participants": ["stranger"]}),
    (MEMBER, "PATCH"): admins_only(body={"role": "admin"}),
    (MEMBER, "DELETE"): admins_only(204),
    (CONVERSATION + "read/", "POST"): members_only(body={"up_to_seq": 1}),
    (CONVERSATION + "delivered/", "POST"): members_only(body={"up_to_seq": 1}),
    ("/api/notifications/", "GET"): ones_own(),
    # These paths are for services, which have a key instead of a token.
    ("/api/notifications/", "POST"): _rule(403, 403, 403, {"username": "member", "kind": "message_received"}),
    ("/api/notifications/read-all/", "POST"): ones_own(),
    ("/api/notifications/unread-count/", "GET"): ones_own(),
    ("/api/notifications/<notification_id:notification_id>/read/", "POST"): owner_only(),
    ("/api/me/", "GET"): ones_own(),
    ("/api/me/", "PATCH"): ones_own(body={"first_name": "new"}),
    ("/api/ws-ticket/", "POST"): ones_own(),
    ("/api/auth/sessions/", "GET"): ones_own(),
    ("/api/auth/sessions/<uuid:session_id>/", "DELETE"): owner_only(204),
    ("/api/auth/password/", "POST"): ones_own(204, PASSWORDS),
    # These need no token, so all callers get the same answer.
    ("/api/auth/register/", "POST"): nobody(201, {"username": "newcomer", "password": "a-Long-new-one-7"}),
    ("/api/auth/logout/", "POST"): _rule(204, 204, 204, {}, anonymous=401),
    ("/api/token/", "POST"): nobody(401, {"username": "admin", "password": "guessed"}),
    ("/api/token/refresh/", "POST"): nobody(401, {"refresh": "guessed"}),
    ("/api/", "GET"): nobody(200),
    ("/api/schema/", "GET"): nobody(200),
    ("/api/docs/", "GET"): nobody(200),
    ("/api/asyncapi.json", "GET"): nobody(200),
    ("/api/asyncapi/", "GET"): nobody(200),
}

#: The paths of the Directus dialect, each with a slash and without.
HTTP |= {
    (f"{route}{slash}", method): rule
    for (route, method), rule in {
        ("/auth", "GET"): nobody(200),
        ("/auth/login", "POST"): nobody(401, {"email": "admin", "password": "guessed"}),
        ("/auth/refresh", "POST"): nobody(401, {"refresh_token": "guessed"}),
        ("/auth/logout", "POST"): nobody(204, {"refresh_token": "guessed"}),
        ("/auth/password/request", "POST"): nobody(204, {"email": "admin@example.com"}),
        ("/auth/password/reset", "POST"): nobody(204, {"token": "guessed", "password": "guessed"}),
        ("/server/ping", "GET"): nobody(200),
        ("/server/health", "GET"): nobody(200),
        ("/server/info", "GET"): nobody(200),
        ("/users/me", "GET"): ones_own(),
        ("/users/me", "PATCH"): ones_own(body={"first_name": "new"}),
    }.items()
    for slash in ("", "/")
}

#: Django's own routes, which are no part of the API. Paths below /admin/ are for staff.
PAGES = {"/", "/demo/<slug:username>/", "/^api/", "/^ws/"}
#: What has a first word of the Directus dialect, and is nothing.
PAGES |= {f"/<directus:first_word>{rest}" for rest in ("", "/", "/<path:rest>")}

CHAT = "/ws/chat/<str:conversation_id>/"
NOTIFICATIONS = "/ws/notifications/"
TYPING = "/ws/typing/<str:conversation_id>/"

#: For each path of the guide's sockets, the close code for a refused caller, or "open". The native socket has
#: a matrix of its own.
SOCKETS: dict[str, Answers] = {
    CHAT: {"anonymous": 4401, **dict.fromkeys(OUTSIDERS, 4404), **dict.fromkeys(INSIDERS, "open")},
    TYPING: {"anonymous": 4401, **dict.fromkeys(OUTSIDERS, 4404), **dict.fromkeys(INSIDERS, "open")},
    NOTIFICATIONS: {"anonymous": 4401, **dict.fromkeys((*OUTSIDERS, *INSIDERS), "open")},
}


class Ask(NamedTuple):
    """A frame, and the type or the error code of the answer to a caller whom the socket lets in."""

    frame: dict[str, Any]
    member: str | None
    admin: str | None


def _common(path: str) -> dict[tuple[str, str], Ask]:
    return {
        (path, "ping"): Ask({}, "pong", "pong"),
        (path, "auth.refresh"): Ask({"token": "{token}"}, "auth.refreshed", "auth.refreshed"),
    }


#: In the frames, `{name}` stands for the id of something that belongs to the admin.
COMMANDS: dict[tuple[str, str], Ask] = {
    **_common(CHAT),
    (CHAT, "message"): Ask({"message": "hello"}, "ack", "ack"),
    (CHAT, "edit"): Ask({"message_id": "{message_id}", "message": "new"}, "not_your_message", "ack"),
    (CHAT, "delete"): Ask({"message_id": "{message_id}"}, "not_allowed", "ack"),
    # These are told to the others, or to nobody when nothing moved.
    (CHAT, "read"): Ask({"up_to_seq": 0}, None, None),
    (CHAT, "delivered"): Ask({"up_to_seq": 0}, None, None),
    **_common(TYPING),
    (TYPING, "typing"): Ask({"is_typing": True}, None, None),
    **_common(NOTIFICATIONS),
    (NOTIFICATIONS, "read"): Ask({"ids": ["{notification_id}"]}, "ack", "ack"),
    (NOTIFICATIONS, "read_all"): Ask({}, "ack", "ack"),
}
