"""One tenant asks for another tenant's data, everywhere and for long, while that one goes on talking.

    python -m tests.attacks.crawl --requests 100000 --seed 1 --server daphne

Everything that belongs to the victims holds a mark. No byte that the attacker is sent may hold it, headers
and sockets included. At the end the victims are checked: they must see the mark.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import random
import secrets
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests import environment
from tests.acceptance.people import People
from tests.attacks import native_matrix, surface
from tests.attacks.hostile import Hostile
from tests.attacks.matrix import COMMANDS, HTTP
from tests.attacks.targets import NO_LIMITS, fill
from tests.servers import Kind, ServerProcess, manage

MARK = "c4n4ry-of-tenant-b"
SERVICE_KEY = "for-the-crawl-0123456789-0123456789-0123456789"
#: The life of a token; 100,000 requests take longer than a token usually lives.
ENVIRONMENT = {**NO_LIMITS, "SERVICE_API_KEYS": SERVICE_KEY, "ACCESS_TOKEN_TTL": "86400"}
REQUESTS_PER_SOCKET = 50
WORKERS = 4
#: The weight of the native socket against the guide's commands when a path is chosen.
NATIVE_SHARE = 6
#: Left out, because it would end the crawler's own session.
LEFT_OUT = ("/api/auth/logout/", "/api/auth/password/")


@dataclass
class Findings:
    """The number of requests, their answers, and the places where the mark was seen."""

    requests: int = 0
    frames: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    #: The number of frames that came on each path of a socket.
    sockets: Counter[str] = field(default_factory=Counter)
    leaks: list[str] = field(default_factory=list)

    def look(self, heard: bytes | str, where: str) -> None:
        if MARK in (heard if isinstance(heard, str) else heard.decode(errors="replace")):
            self.leaks.append(where)


class Crawl:
    """Ana and Bruno are the victims; Reader, of another tenant, attacks."""

    def __init__(self, server: ServerProcess, seed: int) -> None:
        self.server, self.seed = server, seed
        self.people = People(server)
        self.findings = Findings()
        self.token = self.people.token("reader")
        victim = self.people.token("ana")
        theirs = self._ask("/api/conversations/", victim, {"participants": ["bruno"], "title": MARK})
        said = self._ask(f"/api/conversations/{theirs['id']}/messages/", victim, {"message": MARK})
        told = self._ask(
            "/api/notifications/",
            "",
            {
                "username": "ana",
                "kind": "payment_completed",
                "data": {"payment_id": 1, "note": MARK},
                "title": MARK,
            },
            headers={"X-Api-Key": SERVICE_KEY},
        )
        sessions = self._ask("/api/auth/sessions/", victim)["results"]
        own = self._ask("/api/conversations/", self.token, {"participants": [], "title": "own"})
        mine = self._ask(f"/api/conversations/{own['id']}/messages/", self.token, {"message": "own"})
        self.conversation_id = theirs["id"]
        members = self._ask(f"/api/conversations/{theirs['id']}/members/", victim)
        #: The ids that the attacker tries, the victims' and his own, by the name of the place in a path.
        self.theirs = {
            "conversation_id": theirs["id"],
            "message_id": said["message_id"],
            "user_id": members[0]["user_id"],
            "notification_id": told["id"],
            "session_id": sessions[0]["id"],
            "token": self.token,
        }
        self.own = {**self.theirs, "conversation_id": own["id"], "message_id": mine["message_id"]}

    def _ask(self, path: str, token: str, body: Any = None, *, headers: dict[str, str] | None = None) -> Any:
        sent = {"Content-Type": "application/json", **(headers or {"Authorization": f"Bearer {token}"})}
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(
            urllib.request.Request(self.server.url + path, data, sent), timeout=30
        ) as answer:
            return json.loads(answer.read())

    async def run(self, requests: int) -> Findings:
        victims = asyncio.create_task(asyncio.to_thread(self._talk))
        own = asyncio.create_task(self._listen())
        shares = [requests // WORKERS] * WORKERS
        await asyncio.gather(*(self._crawl(number, share) for number, share in enumerate(shares)))
        self._is_over = True
        own.cancel()
        await asyncio.gather(victims, own, return_exceptions=True)
        self._control()
        return self.findings

    _is_over = False

    def _talk(self) -> None:
        """Let the victims talk, so that there is something to overhear."""
        for count in range(10**6):
            if self._is_over:
                return
            self.people.say("bruno", self.conversation_id, f"{MARK} {count}")
            time.sleep(0.1)

    async def _listen(self) -> None:
        """Receive on the attacker's own socket everything that is his."""
        async with connect(f"{self.server.ws_url}/ws/notifications/?v=1&token={self.token}") as socket:
            async for frame in socket:
                self.findings.frames += 1
                self.findings.look(frame, "the notifications socket")

    async def _crawl(self, number: int, count: int) -> None:
        hostile = Hostile(self.seed * 31 + number)
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        for turn in range(count):
            await asyncio.to_thread(self._one_request, connection, hostile)
            if turn % REQUESTS_PER_SOCKET == 0:
                await self._one_socket(hostile.random)
        connection.close()

    def _one_request(self, connection: http.client.HTTPConnection, hostile: Hostile) -> None:
        choose = hostile.random
        route, method = choose.choice([key for key in HTTP if key[0] not in LEFT_OUT])
        ids = {name: choose.choice((self.theirs[name], self.own[name])) for name in self.theirs}
        path = surface.filled(route, ids)
        if choose.random() < 0.1:
            path = choose.choice((f"/admin/chat/message/?q={MARK[:6]}", "/admin/", f"{path}x/", "/"))
        query = (
            hostile.query() if choose.random() < 0.7 else f"search={MARK[:6]}&q={MARK[:6]}&title={MARK[:6]}"
        )
        body = (
            json.dumps(HTTP[route, method].body or {}).encode()
            if choose.random() < 0.7
            else hostile.body({"a": "b"})
        )
        headers = {"Content-Type": "application/json"}
        if choose.random() < 0.9:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            connection.request(method, f"{path}?{query}", body, headers)
            answer = connection.getresponse()
            heard = str(answer.headers).encode() + answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()  # the server had closed the kept connection
            return
        self.findings.requests += 1
        self.findings.answers[f"HTTP {answer.status}"] += 1
        self.findings.look(heard, f"{method} {path}?{query}")

    async def _one_socket(self, choose: random.Random) -> None:
        path = choose.choice([*(path for path, _ in COMMANDS), *[surface.native_socket()] * NATIVE_SHARE])
        ids = choose.choice((self.theirs, self.own))
        query = choose.choice(("v=1", "since=0", "since=1", "v=1&since=0"))
        url = f"{self.server.ws_url}{surface.filled(path, ids)}?{query}&token={self.token}"
        with contextlib.suppress(ConnectionClosed, TimeoutError):
            async with connect(url, max_size=None) as socket, asyncio.timeout(10):
                for asked in self._commands_on(path):
                    await socket.send(json.dumps(asked))
                await socket.send('{"type":"ping","ref":"the end"}')
                while True:
                    frame = await socket.recv()
                    self.findings.frames += 1
                    self.findings.look(frame, f"{path} of {ids['conversation_id']}")
                    self.findings.sockets[path] += 1
                    if "the end" in str(frame):
                        return

    def _commands_on(self, path: str) -> Iterator[dict[str, Any]]:
        """Every command that a socket accepts, about the victims' objects."""
        for (where, name), ask in COMMANDS.items():
            if where == path:
                yield {"type": name, "ref": 1, **fill(ask.frame, self.theirs)}
        if path == surface.native_socket():
            rows = [
                *native_matrix.COMMANDS.items(),
                *(("subscribe", row) for row in native_matrix.FEEDS.values()),
            ]
            for name, row in rows:
                yield {"type": name, "ref": 1, **native_matrix.asked(row, **self.theirs)}

    def _control(self) -> None:
        """Check that the victims see the mark; otherwise not seeing it would prove nothing."""
        victim = self.people.token("ana")
        for path in (
            f"/api/conversations/{self.conversation_id}/messages/",
            "/api/conversations/",
            "/api/notifications/",
        ):
            assert MARK in json.dumps(self._ask(path, victim)), f"the victim does not see it in {path}"


@contextmanager
def running(kind: Kind) -> Iterator[ServerProcess]:
    """A server with a database of its own."""
    environment.apply()
    url = environment.sqlite_url(f"crawled-{kind}")
    manage("migrate", "--verbosity", "0", database_url=url)
    manage("seed_demo", database_url=url)
    with ServerProcess(kind, database_url=url, env=ENVIRONMENT) as server:
        yield server


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--server", choices=("daphne", "uvicorn"), default="uvicorn")
    chosen = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if chosen.seed is None else chosen.seed
    print(
        f"python -m tests.attacks.crawl --requests {chosen.requests} --seed {seed} --server {chosen.server}"
    )
    started = time.monotonic()
    with running(chosen.server) as server:
        found = asyncio.run(Crawl(server, seed).run(chosen.requests))
    print(f"{found.requests} requests, {found.frames} frames, {dict(found.answers.most_common())}")
    for leak in found.leaks[:20]:
        print("LEAK", leak)
    print(f"{time.monotonic() - started:.0f} s, {'FAILED' if found.leaks else 'passed'}")
    return 1 if found.leaks else 0


if __name__ == "__main__":
    sys.exit(main())
