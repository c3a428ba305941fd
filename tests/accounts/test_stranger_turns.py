"""Requests without a credential take turns; requests of members do not."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from accounts import strangers
from accounts.models import User
from accounts.strangers import StrangersTakeTurns, has_token
from accounts.tokens import access_token
from config import asgi
from notifications.service_keys import has_service_key
from realtime.http.metrics import REQUESTS_REFUSED
from tests.realtime.listeners import StillClock

KEY = "the-key-of-another-service-0123456789abcdef"


class Django:
    """A stand-in for Django: it begins an answer when the test says so, and counts the requests inside."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.inside = self.most = 0
        self.may_answer = asyncio.Event()
        self.fails = False
        #: The CPU time that an answer took, as the middleware is told; None: it goes by the clock.
        self.cpu_seconds: float | None = None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.began.append(scope["client"][0])
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await self.may_answer.wait()
            if self.cpu_seconds is not None:
                scope[strangers.CPU_SECONDS] = self.cpu_seconds
            if self.fails:
                raise RuntimeError
        finally:
            self.inside -= 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": (await receive()).get("body", b"")})


class Peer:
    """One request, and the answer it got."""

    def __init__(self, address: str, path: str = "/", headers: Any = (), *, body: list[bytes] | None = None):
        self.scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "client": (address, 1),
            "headers": list(headers),
        }
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.reads = asyncio.Event()
        self.reads.set()
        self.answer: list[dict[str, Any]] = []
        for piece in [b""] if body is None else body:
            self.says(piece, more=False)

    def says(self, piece: bytes, *, more: bool) -> None:
        self.messages.put_nowait({"type": "http.request", "body": piece, "more_body": more})

    def leaves(self) -> None:
        self.messages.put_nowait({"type": "http.disconnect"})

    async def send(self, message: dict[str, Any]) -> None:
        await self.reads.wait()
        self.answer.append(message)

    @property
    def status(self) -> int:
        return int(self.answer[0]["status"]) if self.answer else 0

    def header(self, name: bytes) -> bytes:
        return dict(self.answer[0]["headers"])[name]


class Door:
    """The middleware, in front of a Django that waits."""

    def __init__(self) -> None:
        self.django = Django()
        self.gate = StrangersTakeTurns(self.django, has_token, has_service_key)
        self.tasks: list[asyncio.Task[None]] = []

    async def comes(self, peer: Peer) -> asyncio.Task[None]:
        """A request arrives, and goes as far as it can."""
        task = asyncio.get_running_loop().create_task(self.gate(peer.scope, peer.messages.get, peer.send))
        self.tasks.append(task)
        await settle()
        return task

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
async def door(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(strangers, "RESTS", 0.0)
    door = Door()
    yield door
    await door.end()


@pytest.fixture
def limit(settings: Any) -> Callable[..., None]:
    def set_limits(**limits: Any) -> None:
        settings.RELAIS = {**settings.RELAIS, **limits}

    return set_limits


@pytest.fixture
def token(ana: User) -> str:
    return access_token(ana)


def bearer(token: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", f"Bearer {token}".encode())]


async def test_one_stranger_at_a_time(door):
    peers = [Peer(f"10.0.0.{number}") for number in range(5)]
    for peer in peers:
        await door.comes(peer)
    assert door.django.inside == 1

    door.django.may_answer.set()
    await asyncio.gather(*door.tasks)

    assert [peer.status for peer in peers] == [200] * 5
    assert door.django.most == 1


async def test_members_and_services_wait_for_nobody(door, token: str, limit):
    limit(service_api_keys=(KEY,))
    await door.comes(Peer("10.0.0.1"))

    await door.comes(Peer("10.0.0.2", headers=bearer(token)))
    await door.comes(Peer("10.0.0.3", headers=[(b"x-api-key", KEY.encode())]))
    await door.comes(Peer("10.0.0.4", headers=[(b"authorization", f"Api-Key {KEY}".encode())]))

    assert door.django.began == ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]


@pytest.mark.parametrize(
    "headers",
    [
        bearer("no.token.atall"),
        bearer(""),
        [(b"authorization", b"Basic YW5hOmRlbW8=")],
        [(b"x-api-key", b"another-key-0123456789abcdef0123456789")],
        [(b"x-api-key", b"")],
        [(b"authorization", b"\xff\xfe")],
        [(b"cookie", b"sessionid=0123456789")],
    ],
    ids=str,
)
async def test_request_without_a_credential_of_ours_is_a_strangers(door, headers, limit):
    limit(service_api_keys=(KEY,))
    await door.comes(Peer("10.0.0.1"))

    await door.comes(Peer("10.0.0.2", headers=headers))

    assert door.django.began == ["10.0.0.1"]


async def test_addresses_take_turns_however_much_one_asks(door):
    crowd = [Peer("10.0.0.1") for _ in range(10)]
    for peer in crowd:
        await door.comes(peer)
    await door.comes(Peer("10.0.0.2"))

    door.django.may_answer.set()
    await asyncio.gather(*door.tasks)

    assert door.django.began[:3] == ["10.0.0.1", "10.0.0.1", "10.0.0.2"]


async def test_body_that_drips_keeps_nobody_waiting(door):
    slow = Peer("10.0.0.1", body=[])
    slow.says(b"a", more=True)
    await door.comes(slow)
    await door.comes(Peer("10.0.0.2"))
    assert door.django.began == ["10.0.0.2"]

    door.django.may_answer.set()
    slow.says(b"b", more=False)
    await asyncio.gather(*door.tasks)

    assert slow.answer[1]["body"] == b"a"  # the first part of the answer; the rest would follow


async def test_slow_reader_keeps_nobody_waiting(door):
    door.django.may_answer.set()
    slow = Peer("10.0.0.1")
    slow.reads.clear()
    await door.comes(slow)
    quick = Peer("10.0.0.2")

    await door.comes(quick)

    assert (slow.status, quick.status) == (0, 200)


async def test_request_whose_peer_left_while_waiting_is_not_served(door):
    await door.comes(Peer("10.0.0.1"))
    impatient = Peer("10.0.0.2")
    task = await door.comes(impatient)
    last = Peer("10.0.0.3")
    await door.comes(last)

    impatient.leaves()
    await settle()
    door.django.may_answer.set()
    await asyncio.gather(*door.tasks)

    assert task.done()
    assert door.django.began == ["10.0.0.1", "10.0.0.3"]
    assert last.status == 200


async def test_connection_that_is_cut_while_waiting_leaves_no_gap(door):
    await door.comes(Peer("10.0.0.1"))
    cut = await door.comes(Peer("10.0.0.2"))
    last = Peer("10.0.0.3")
    await door.comes(last)

    cut.cancel()
    await settle()
    door.django.may_answer.set()
    await settle()

    assert last.status == 200


async def test_turn_of_a_request_that_is_cut_in_the_middle_goes_on(door):
    first = await door.comes(Peer("10.0.0.1"))
    last = Peer("10.0.0.2")
    await door.comes(last)

    first.cancel()
    await settle()

    assert door.django.began == ["10.0.0.1", "10.0.0.2"]


async def test_turn_of_a_failing_answer_goes_on(door):
    door.django.fails = True
    first = await door.comes(Peer("10.0.0.1"))
    await door.comes(Peer("10.0.0.2"))

    door.django.may_answer.set()
    await settle()

    assert isinstance(first.exception(), RuntimeError)
    assert door.django.began == ["10.0.0.1", "10.0.0.2"]


@pytest.mark.parametrize(
    ("path", "kind"), [("/api/token/", b"application/problem+json"), ("/", b"text/plain; charset=utf-8")]
)
async def test_no_room_is_503_with_a_time_to_come_back(door, limit, path, kind):
    limit(limit_strangers_waiting_per_address=2)
    before = refusals()
    for _ in range(3):
        await door.comes(Peer("10.0.0.1"))

    refused = Peer("10.0.0.1", path)
    await door.comes(refused)

    assert refused.status == 503
    assert refused.header(b"retry-after") == b"2"
    assert refused.header(b"content-type") == kind
    if path.startswith("/api/"):
        told = json.loads(refused.answer[1]["body"])
        assert (told["code"], told["retry_after_ms"]) == ("overloaded", 2000)
    assert refusals() == before + 1


async def test_request_that_waits_too_long_is_refused(door, limit):
    limit(limit_stranger_seconds=0.01)
    await door.comes(Peer("10.0.0.1"))
    late = Peer("10.0.0.2")

    await (await door.comes(late))
    door.django.may_answer.set()
    after = Peer("10.0.0.3")
    await door.comes(after)

    assert (late.status, after.status) == (503, 200)
    assert door.django.began == ["10.0.0.1", "10.0.0.3"]


async def test_process_rests_while_others_wait_and_not_otherwise(door, monkeypatch):
    monkeypatch.setattr(strangers, "RESTS", 3.0)
    clock = StillClock(monkeypatch)
    await door.comes(Peer("10.0.0.1"))
    await door.comes(Peer("10.0.0.2"))
    await clock.passes(100)

    door.django.may_answer.set()
    await settle()
    await clock.passes(299)
    assert door.django.began == ["10.0.0.1"]
    await clock.passes(2)
    assert door.django.began == ["10.0.0.1", "10.0.0.2"]

    await door.comes(Peer("10.0.0.3"))  # nobody was waiting when the last turn ended
    assert door.django.began[2:] == ["10.0.0.3"]


async def test_rest_follows_from_the_cpu_of_the_answer(door, monkeypatch):
    monkeypatch.setattr(strangers, "RESTS", 3.0)
    clock = StillClock(monkeypatch)
    door.django.cpu_seconds = 0.01
    await door.comes(Peer("10.0.0.1"))
    await door.comes(Peer("10.0.0.2"))
    await clock.passes(500)

    door.django.may_answer.set()
    await settle()
    await clock.passes(29)
    assert door.django.began == ["10.0.0.1"]
    await clock.passes(2)
    assert door.django.began == ["10.0.0.1", "10.0.0.2"]


async def test_django_says_what_an_answer_took(db):
    scope = {"type": "http", "method": "GET", "path": "/nothing/", "query_string": b"", "headers": []}
    messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    messages.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    said: list[float] = []

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            said.append(scope.get(strangers.CPU_SECONDS, 0))

    await asgi.django_application(scope, messages.get, send)

    assert said[0] > 0


async def test_rest_after_a_very_long_turn_is_short(door, monkeypatch):
    monkeypatch.setattr(strangers, "RESTS", 3.0)
    clock = StillClock(monkeypatch)
    await door.comes(Peer("10.0.0.1"))
    await door.comes(Peer("10.0.0.2"))
    await clock.passes(900)

    door.django.may_answer.set()
    await settle()
    await clock.passes(999)
    assert door.django.began == ["10.0.0.1"]
    await clock.passes(2)
    assert door.django.began == ["10.0.0.1", "10.0.0.2"]


async def test_turn_of_an_answer_that_takes_long_ends_before_it(door, monkeypatch):
    monkeypatch.setattr(strangers, "RESTS", 3.0)
    clock = StillClock(monkeypatch)
    slow = Peer("10.0.0.1")
    await door.comes(slow)
    await door.comes(Peer("10.0.0.2"))
    await door.comes(Peer("10.0.0.3"))

    await clock.passes(1_998)  # a turn of one second, and a rest of one second
    assert door.django.began == ["10.0.0.1"]
    await clock.passes(3)
    assert door.django.began == ["10.0.0.1", "10.0.0.2"]

    # The first answer ends here; its turn was over before, so this ends no other turn.
    door.django.may_answer.set()
    await settle()
    assert slow.status == 200
    assert door.django.began == ["10.0.0.1", "10.0.0.2"]


def test_strangers_take_turns_before_django():
    assert isinstance(asgi.health.app, StrangersTakeTurns)


def refusals() -> float:
    [count] = REQUESTS_REFUSED.series()[("strangers",)]
    return count
