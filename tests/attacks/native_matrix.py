"""Rights on the native socket: the answer to every command and every subscription, for each caller.

The callers are those of `matrix.py` and the `manager`, whose role in the conversation is `admin`; the `admin`
of that matrix is its owner. A caller who is not signed in is answered `unauthenticated` to every command, and
needs no column.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.attacks.matrix import CONVERSATION, MEMBER, MESSAGE, OUTSIDERS

#: The members, from the least rights to the most.
INSIDERS = ("member", "manager", "admin")
CALLERS = (*OUTSIDERS, *INSIDERS)

NOT_THEIRS = "not_a_participant"


class Row(NamedTuple):
    """A command or a topic, and the code or the type of its answer to each caller; None where there is no
    answer."""

    #: In the fields, `{name}` stands for the id of something that belongs to the owner.
    frame: dict[str, Any]
    outsiders: str | None
    member: str | None
    manager: str | None
    owner: str | None
    #: The same request over REST, which must be answered with the same code.
    rest: tuple[str, str] | None = None

    def answer_to(self, caller: str) -> str | None:
        """The answer to this caller."""
        return dict(zip(INSIDERS, self[2:5], strict=True)).get(caller, self.outsiders)


def _everybody(
    answer: str | None, frame: dict[str, Any] | None = None, rest: tuple[str, str] | None = None
) -> Row:
    return Row(frame or {}, answer, answer, answer, answer, rest)


def _members_only(
    frame: dict[str, Any] | None = None, *, rest: tuple[str, str] | None = None, answer: str = "ack"
) -> Row:
    return _in_it(frame or {}, answer, answer, answer, rest)


def _in_it(
    frame: dict[str, Any], member: str, manager: str, owner: str, rest: tuple[str, str] | None = None
) -> Row:
    frame = frame if "topic" in frame else {"conversation_id": "{conversation_id}", **frame}
    return Row(frame, NOT_THEIRS, member, manager, owner, rest)


_MESSAGE = {"message_id": "{message_id}"}
_THIRD = {"user_id": "{user_id}"}
_MESSAGES, _MEMBERS = CONVERSATION + "messages/", CONVERSATION + "members/"

#: Rows by the name of their command, in an order in which one caller can send all of them.
COMMANDS: dict[str, Row] = {
    "auth": _everybody("invalid_frame", {"token": "{token}"}),
    "auth.refresh": _everybody("auth.refreshed", {"token": "{token}"}),
    "ping": _everybody("pong"),
    "pong": _everybody(None),
    "subscribe": _members_only({"topic": "conversation.{conversation_id}"}, answer="subscribed"),
    "unsubscribe": _everybody("unknown_subscription", {"id": "nothing"}),
    "send": _members_only({"message": "hello"}, rest=(_MESSAGES, "POST")),
    "edit": _in_it(
        {**_MESSAGE, "message": "new"}, "not_your_message", "not_your_message", "ack", (MESSAGE, "PATCH")
    ),
    "delete": _in_it(_MESSAGE, "not_allowed", "ack", "ack", (MESSAGE, "DELETE")),
    "read": _members_only({"up_to_seq": 1}, rest=(CONVERSATION + "read/", "POST")),
    "delivered": _members_only({"up_to_seq": 1}, rest=(CONVERSATION + "delivered/", "POST")),
    "typing": _members_only({"is_typing": True}),
    "conversations": _everybody("ack", rest=("/api/conversations/", "GET")),
    "conversation": _members_only(rest=(CONVERSATION, "GET")),
    "conversation.create": _everybody(
        "ack", {"participants": ["stranger", "former"], "title": "own"}, ("/api/conversations/", "POST")
    ),
    "conversation.rename": _in_it({"title": "new"}, "not_allowed", "ack", "ack", (CONVERSATION, "PATCH")),
    "messages": _members_only(rest=(_MESSAGES, "GET")),
    "members": _members_only(rest=(_MEMBERS, "GET")),
    "members.add": _in_it({"participants": ["stranger"]}, "not_allowed", "ack", "ack", (_MEMBERS, "POST")),
    "members.role": _in_it(
        {**_THIRD, "role": "admin"}, "not_allowed", "not_allowed", "ack", (MEMBER, "PATCH")
    ),
    "members.remove": _in_it(_THIRD, "not_allowed", "ack", "ack", (MEMBER, "DELETE")),
    "notifications": _everybody("ack", rest=("/api/notifications/", "GET")),
    # The answer does not say whether entries of others exist, and those stay as they are.
    "notifications.read": _everybody("ack", {"ids": ["{notification_id}"]}),
    "notifications.read_all": _everybody("ack", rest=("/api/notifications/read-all/", "POST")),
    "notifications.unread_count": _everybody("ack", rest=("/api/notifications/unread-count/", "GET")),
    # Everybody reads the demo's moods; what is theirs to write is the tests' of `changes`.
    "rows": _everybody("ack", {"collection": "humeur"}),
    "rows.create": _everybody("unknown_collection", {"collection": "nothing", "values": {"name": "own"}}),
    "rows.update": _everybody(
        "unknown_collection", {"collection": "nothing", "values": {"name": "own"}, "keys": [1]}
    ),
    "rows.delete": _everybody("unknown_collection", {"collection": "nothing", "keys": [1]}),
}

#: Subscriptions, by the first part of their topic.
FEEDS: dict[str, Row] = {
    "conversation": _members_only(
        {"topic": "conversation.{conversation_id}", "id": "c", "snapshot": 50}, answer="subscribed"
    ),
    "collection": _everybody("subscribed", {"topic": "collection.humeur", "id": "r", "snapshot": 50}),
    "inbox": _everybody("subscribed", {"topic": "inbox", "id": "i", "snapshot": 50}),
    "mine": _everybody("subscribed", {"topic": "mine", "id": "m", "snapshot": 50}),
}


def asked(row: Row, **facts: Any) -> dict[str, Any]:
    """The fields of a command, with the ids put in."""
    return {name: _filled(value, facts) for name, value in row.frame.items()}


def _filled(value: Any, facts: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_filled(item, facts) for item in value]
    if not isinstance(value, str) or "{" not in value:
        return value
    return facts[value[1:-1]] if value.startswith("{") else value.format(**facts)
