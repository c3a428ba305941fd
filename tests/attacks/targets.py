"""Servers to attack: ours on both kinds of server, and the guide's, which must not survive the same
attack."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.peers.guide.server import GuideServer
from tests import environment, services
from tests.acceptance.people import People
from tests.attacks import native_matrix, surface
from tests.attacks.matrix import COMMANDS, HTTP
from tests.processes import Process
from tests.servers import ServerProcess, manage

Name = Literal["daphne", "uvicorn", "guide"]

#: An attack measures what the server survives, not how soon it sends the attacker away, so limits are off.
NO_LIMITS = {
    f"LIMIT_{name}": "off"
    for name in (
        "SENDS",
        "INVITATIONS",
        "FRAMES",
        "TYPING",
        "SOCKETS_PER_USER",
        "CONNECTIONS",
        "CONNECTIONS_PER_ADDRESS",
        "HANDSHAKES",
        "REST",
        "LOGINS",
        "LOGINS_PER_ADDRESS",
        "REGISTRATIONS",
    )
}


@dataclass
class Target:
    """A running server, and the requests of a legitimate user of it."""

    process: Process
    #: For each path with its credentials, commands that would be obeyed.
    sockets: dict[str, list[dict[str, Any]]]
    #: Method, path with its places filled, body; sent with `headers`.
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    #: Paths of sockets that replay everything stored, each with its subscription where the path does not name
    #: one, and the pages of REST that list it.
    replays: list[tuple[str, dict[str, Any] | None]] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.process.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.process.port}"

    def get(self, url: str) -> bytes:
        """The answer of the target to a GET of the user's."""
        full = url if "://" in url else self.url + url
        with urllib.request.urlopen(urllib.request.Request(full, headers=self.headers), timeout=30) as answer:
            content: bytes = answer.read()
        return content


@contextmanager
def running(name: Name) -> Iterator[Target]:
    """A target with a database of its own, for programs; tests make one of their server with
    `relais_target`."""
    environment.apply()
    if name == "guide":
        with services.RedisServer() as redis, GuideServer(redis_url=redis.url) as process:
            yield guide_target(process)
        return
    database_url = environment.sqlite_url(f"attacked-{name}")
    environment.sqlite_file(f"attacked-{name}").unlink(missing_ok=True)
    manage("migrate", "--verbosity", "0", database_url=database_url)
    manage("seed_demo", database_url=database_url)
    with ServerProcess(name, database_url=database_url, env=NO_LIMITS) as server:
        yield relais_target(server)


def guide_target(process: GuideServer) -> Target:
    return Target(process, {"/ws/chat/1/": [{"message": "hello"}]})


def relais_target(server: ServerProcess) -> Target:
    """Ana on every socket, and Bruno over HTTP, so that ending his sessions ends none of hers."""
    people = People(server)
    token = people.token("ana")
    conversation_id = people.new_conversation("ana", "bruno")
    elsewhere = people.new_conversation("bruno", "ana", "reader")
    bruno, hello = people.token("bruno"), {"message": "hello"}
    members = _ask(server, f"/api/conversations/{elsewhere}/members/", bruno)
    ids = {"conversation_id": conversation_id, "notification_id": 1, "token": token}
    sent = _ask(server, f"/api/conversations/{conversation_id}/messages/", token, hello)
    ids["message_id"] = sent["message_id"]
    sockets: dict[str, list[dict[str, Any]]] = {}
    for (path, name), ask in COMMANDS.items():
        asked = [{"type": name, **fill(ask.frame, ids)}]
        if surface.guide_sockets()[path].guide.default_command == name:
            asked.append(fill(ask.frame, ids))  # as the guide sends it, without a type
        for query in ("v=1&", ""):
            sockets.setdefault(f"{surface.filled(path, ids)}?{query}token={token}", []).extend(asked)
    native = f"{surface.native_socket()}?token={token}"
    sockets[native] = _native_commands(ids)
    sockets[surface.native_socket()] = [{"type": "auth", "token": token}]
    mine = {
        **ids,
        "conversation_id": elsewhere,
        "message_id": _ask(server, f"/api/conversations/{elsewhere}/messages/", bruno, hello)["message_id"],
        "user_id": next(member["user_id"] for member in members if member["username"] == "reader"),
        "session_id": "018f0000-0000-7000-8000-000000000001",
    }
    return Target(
        process=server,
        sockets=sockets,
        requests=[
            (method, surface.filled(route, mine), rule.body)
            for (route, method), rule in HTTP.items()
            if route != "/api/auth/logout/"  # it would end Bruno's session
        ],
        headers={"Authorization": f"Bearer {bruno}"},
        replays=[
            (f"/ws/chat/{conversation_id}/?since=0&token={token}", None),
            (f"/ws/chat/{elsewhere}/?since=0&token={token}", None),
            (f"/ws/notifications/?since=0&token={token}", None),
            (native, {"topic": "mine", "since": {f"conversation.{conversation_id}": "0"}, "snapshot": 200}),
            (native, {"topic": "inbox", "since": "0"}),
        ],
        pages=[
            f"/api/conversations/{conversation_id}/messages/?limit=200",
            f"/api/conversations/{elsewhere}/messages/?limit=200",
            "/api/conversations/?limit=50",
            "/api/notifications/?limit=200",
        ],
    )


def _native_commands(ids: dict[str, Any]) -> list[dict[str, Any]]:
    """Every command of the native socket, and subscriptions with every field there is."""
    facts = {**ids, "user_id": 999_999}
    asked = [
        {"type": name, **native_matrix.asked(row, **facts)} for name, row in native_matrix.COMMANDS.items()
    ]
    topic = f"conversation.{ids['conversation_id']}"
    for row in native_matrix.FEEDS.values():
        fields = native_matrix.asked(row, **facts)
        since = {topic: "0", "mine": "0"} if fields["topic"] == "mine" else "0"
        asked.append({"type": "subscribe", **fields})
        asked.append({"type": "subscribe", **fields, "since": since, "with_id": True, "typing": False})
    pages = {"limit": 50, "before": 100, "after": 0}
    asked.append({"type": "messages", "conversation_id": ids["conversation_id"], **pages})
    asked.append({"type": "notifications", "unread": True, **pages})
    asked.append({"type": "conversations", "limit": 50, "cursor": "abc"})
    client_id = "018f0000-0000-7000-8000-000000000002"
    sent = {"conversation_id": ids["conversation_id"], "message": "hello", "client_id": client_id}
    return [*asked, {"type": "send", **sent}]


def fill(value: Any, ids: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: fill(inner, ids) for key, inner in value.items()}
    if isinstance(value, list):
        return [fill(inner, ids) for inner in value]
    return ids[value[1:-1]] if isinstance(value, str) and value.startswith("{") else value


def _ask(server: ServerProcess, path: str, token: str, body: Any = None) -> Any:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(
        urllib.request.Request(server.url + path, data, headers), timeout=10
    ) as answer:
        return json.loads(answer.read())
