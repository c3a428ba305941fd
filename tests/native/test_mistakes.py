"""A mistake has the same code on the native socket and over REST, whichever of the two a client makes it on.

Where only the shape is wrong, REST says `invalid_input` and a socket `invalid_frame` (docs/errors.md).
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from chat import services
from chat.services import conversations, members, messages
from notifications.services import notify
from realtime import MAX_INTEGER
from tests.chat.speaking import aside, say
from tests.factories import make_conversation, make_user

CONVERSATIONS, NOTIFICATIONS = "/api/conversations/", "/api/notifications/"
UNKNOWN = 999_999
#: The codes of a wrong shape: over REST and on a socket.
SHAPE = "invalid_input", "invalid_frame"
#: REST's fields refuse NUL and what is no name before anything is looked up; a command asks the services.
NUL, NO_NAME = ("invalid_input", "invalid_text"), ("invalid_input", "unknown_user")
LONG = "é" * 8_001
ONE, MEMBERS = f"{CONVERSATIONS}{{conversation}}/", f"{CONVERSATIONS}{{conversation}}/members/"
MESSAGES, MESSAGE = f"{ONE}messages/", f"{ONE}messages/{{message}}/"


class Twin(NamedTuple):
    """A command, and where REST does the same; braces name what is in the path."""

    method: str
    path: str
    #: The fields of a request that is right; those that the path names are not in the body.
    fields: dict[str, Any]


TWINS = {
    "send": Twin("post", MESSAGES, {"conversation_id": "group", "message": "Bonjour"}),
    "edit": Twin("patch", MESSAGE, {"conversation_id": "group", "message_id": "mine", "message": "Bonsoir"}),
    "delete": Twin("delete", MESSAGE, {"conversation_id": "group", "message_id": "mine"}),
    "read": Twin("post", f"{ONE}read/", {"conversation_id": "group", "up_to_seq": 1}),
    "delivered": Twin("post", f"{ONE}delivered/", {"conversation_id": "group", "up_to_seq": 1}),
    "conversations": Twin("get", CONVERSATIONS, {}),
    "conversation": Twin("get", ONE, {"conversation_id": "group"}),
    "conversation.create": Twin("post", CONVERSATIONS, {"participants": ["bruno"], "title": "New"}),
    "conversation.rename": Twin("patch", ONE, {"conversation_id": "group", "title": "New"}),
    "messages": Twin("get", MESSAGES, {"conversation_id": "group"}),
    "members": Twin("get", MEMBERS, {"conversation_id": "group"}),
    "members.add": Twin("post", MEMBERS, {"conversation_id": "group", "participants": ["clara"]}),
    "members.role": Twin(
        "patch", f"{MEMBERS}{{user}}/", {"conversation_id": "group", "user_id": "dora", "role": "admin"}
    ),
    "members.remove": Twin("delete", f"{MEMBERS}{{user}}/", {"conversation_id": "group", "user_id": "dora"}),
    "notifications": Twin("get", NOTIFICATIONS, {}),
    "notifications.read_all": Twin("post", f"{NOTIFICATIONS}read-all/", {}),
    "notifications.unread_count": Twin("get", f"{NOTIFICATIONS}unread-count/", {}),
}

#: What a command is asked besides, or instead, and the code that both answer.
MISTAKES: list[tuple[str, dict[str, Any], str | tuple[str, str]]] = [
    # An id that is unknown, and one that is somebody else's.
    *(
        (name, {"conversation_id": id_}, "not_a_participant")
        for name, twin in TWINS.items()
        if "conversation_id" in twin.fields
        for id_ in (UNKNOWN, "foreign")
    ),
    *((name, {"message_id": UNKNOWN}, "message_not_found") for name in ("edit", "delete")),
    *((name, {"message_id": "elsewhere"}, "message_not_found") for name in ("edit", "delete")),
    *((name, {"message_id": "deleted"}, "message_not_found") for name in ("edit", "delete")),
    *((name, {"user_id": UNKNOWN}, "not_found") for name in ("members.role", "members.remove")),
    *((name, {"user_id": "clara"}, "not_found") for name in ("members.role", "members.remove")),
    ("edit", {"message_id": "theirs"}, "not_your_message"),
    # A text.
    *(
        (name, {"message": text}, code)
        for name in ("send", "edit")
        for text, code in (
            ("", "empty_message"), (" \n\t", "empty_message"), (LONG, "message_too_long"),
            ("a\x00b", NUL), ("\x1b[0m", "invalid_text"),
            (7, SHAPE), (None, SHAPE), (["a"], SHAPE), (True, SHAPE),
        )
    ),
    *(("send", {"client_id": value}, SHAPE) for value in ("", "no uuid", 7, [])),
    *(
        (name, {"title": title}, code)
        for name in ("conversation.create", "conversation.rename")
        for title, code in (
            ("é" * 201, SHAPE), ("a\x00b", NUL), ("\x1b[0m", "invalid_text"), (7, SHAPE), ([], SHAPE),
        )
    ),
    ("conversation.rename", {"title": None}, SHAPE),
    # Names.
    *(
        (name, {"participants": names}, code)
        for name in ("conversation.create", "members.add")
        for names, code in (
            (["nobody"], "unknown_user"), (["bruno", "nobody"], "unknown_user"), (["é" * 151], SHAPE),
            (["bruno"] * 101, SHAPE), ("bruno", SHAPE), ([7], SHAPE), (None, SHAPE), ([None], SHAPE),
            ([""], NO_NAME), (["a\x00b"], NO_NAME),
        )
    ),
    ("members.add", {"participants": []}, SHAPE),
    *(
        (name, {"role": value}, SHAPE)
        for name in ("members.add", "members.role")
        for value in ("king", 7, None, "")
    ),
    ("conversation.create", {"opens_history": "perhaps"}, SHAPE),
    # Numbers.
    *(
        (name, {"up_to_seq": value}, SHAPE)
        for name in ("read", "delivered")
        for value in (-1, MAX_INTEGER + 1, "one", None, 1.5, [])
    ),
    *(
        (name, {"limit": value}, SHAPE)
        for name in ("conversations", "messages", "notifications")
        for value in (0, -1, 201, "many")
    ),
    *(
        ("messages", {name: value}, SHAPE)
        for name in ("before", "after")
        for value in (-1, MAX_INTEGER + 1, "one")
    ),
    *(("notifications", {"before": value}, SHAPE) for value in (0, -1, MAX_INTEGER + 1, "one")),
    *(("notifications", {"after": value}, SHAPE) for value in (-1, MAX_INTEGER + 1, "one")),
    *(("conversations", {"cursor": value}, SHAPE) for value in ("nonsense", "1-2")),
    # What a direct conversation is not, and what is full.
    *(
        (name, {"conversation_id": "direct", **more}, "direct_conversation")
        for name, more in (
            ("conversation.rename", {}), ("members.add", {}), ("members.role", {"user_id": "bruno"}),
            ("members.remove", {"user_id": "bruno"}),
        )
    ),
    ("members.add", {"conversation_id": "full"}, "too_many_members"),
    ("conversation.create", {"participants": ["bruno", "clara", "dora", "zoe"]}, "too_many_members"),
    ("edit", {"message_id": "edited"}, "too_many_edits"),
    # A field that is left out.
    *(
        (name, {field: ...}, SHAPE)
        for name, field in (
            ("send", "message"), ("edit", "message"), ("read", "up_to_seq"), ("delivered", "up_to_seq"),
            ("conversation.create", "participants"), ("conversation.rename", "title"),
            ("members.add", "participants"), ("members.role", "role"),
        )
    ),
]  # fmt: skip

IN_PATH = {"conversation_id": "conversation", "message_id": "message", "user_id": "user"}


class World:
    """Who and what there is: Ana asks, who owns the group; ids by the names that the tables have."""

    def __init__(self, ana: Any, bruno: Any, dora: Any, group: Any) -> None:
        clara = make_user("clara")
        zoe = make_user("zoe")
        direct, foreign = make_conversation(ana, bruno), make_conversation(bruno, clara)
        full = make_conversation(ana, bruno, dora, zoe, title="Full")
        mine, theirs, deleted, edited = (say(group, who, "one") for who in (ana, bruno, ana, ana))
        services.delete_message(conversation_id=group.pk, message_id=deleted.message_id, by=ana)
        for text in ("two", "three"):
            services.edit_message(
                conversation_id=group.pk, message_id=edited.message_id, by=ana, content=text
            )
        notify(user=ana, kind="payment_completed", data={"payment_id": 1})
        self.ids = {
            "group": group.pk, "direct": direct.pk, "foreign": foreign.pk, "full": full.pk,
            "mine": mine.message_id, "theirs": theirs.message_id, "deleted": deleted.message_id,
            "edited": edited.message_id, "elsewhere": say(direct, ana, "elsewhere").message_id,
            "bruno": bruno.pk, "clara": clara.pk, "dora": dora.pk,
        }  # fmt: skip

    def fields(self, command: str, more: dict[str, Any]) -> dict[str, Any]:
        """The fields of a command, with the ids in place of their names."""
        asked = {**TWINS[command].fields, **more}
        return {
            name: self.ids.get(value, value) if name in IN_PATH else value
            for name, value in asked.items()
            if value is not ...
        }


@pytest.fixture
def world(ana, bruno, dora, group, monkeypatch: pytest.MonkeyPatch) -> World:
    found = World(ana, bruno, dora, group)
    for module in (conversations, members):
        monkeypatch.setattr(module, "MAX_MEMBERS", 4)
    monkeypatch.setattr(messages, "MAX_EDITS", 2)
    return found


def over_rest(client: Any, command: str, fields: dict[str, Any]) -> str:
    """The code of REST's answer."""
    twin = TWINS[command]
    path = twin.path.format(**{IN_PATH[name]: fields[name] for name in IN_PATH if name in fields})
    body = {name: value for name, value in fields.items() if name not in IN_PATH}
    if twin.method == "get":
        answer = client.get(path, body)
    else:
        answer = client.generic(twin.method.upper(), path, json.dumps(body), content_type="application/json")
    return "" if answer.status_code < 400 else str(answer.json()["code"])


def of_both(code: str | tuple[str, str]) -> tuple[str, str]:
    """The code over REST, and that on the socket."""
    return (code, code) if isinstance(code, str) else code


async def test_same_mistake_has_the_same_code(ana, world, api, page_of, relais):
    relais(**{f"limit_{name}": "off" for name in ("mistakes", "frames", "sends", "invitations", "rest")})
    client = await aside(api)(ana)
    wrong = []
    async with page_of(ana) as page:
        for command, more, code in MISTAKES:
            fields = world.fields(command, more)
            rest = await aside(over_rest)(client, command, fields)
            answer = await page.ask_any(command, **fields)
            found = rest, answer.get("code", "")
            if found != of_both(code):
                wrong.append(f"{command} {str(more)[:60]}: {found}, expected {of_both(code)}")

    assert not wrong, "\n".join(wrong)


def test_table_has_every_command_that_rest_knows_too():
    assert {command for command, _, _ in MISTAKES} == TWINS.keys() - {
        "notifications.read_all", "notifications.unread_count",  # nothing can be wrong in them
    }  # fmt: skip
