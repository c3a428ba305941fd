"""/metrics of running servers: the figures match what clients did, hold nothing clients sent, and count all
workers."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Literal

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.acceptance.clients import Client, client
from tests.acceptance.people import People
from tests.acceptance.scraping import Shown, scrape, shows, value
from tests.conftest import Backends
from tests.processes import wait_until
from tests.servers import ServerProcess, Workers

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

#: A label holds one of our words, a number of ours, or a version: no id, topic, path or sentence.
LABEL_VALUE = re.compile(r"[a-z][a-z_]{1,30}|[0-9]{1,4}|\+Inf|[0-9]+(\.[0-9]+){1,2}")
#: The lines that one instrument has; a histogram has one for each bucket.
MAX_LINES = 30
SECRET = "a-token-of-a-scraper-that-nobody-guesses-0123456789"


def counters(shown: Shown) -> Shown:
    return {
        key: value for key, value in shown.items() if key[0].endswith(("_total", "_count", "_bucket", "_sum"))
    }


# ── one server, either kind ──────────────────────────────────────────────────────────────────────────────


async def test_conversation_is_counted_as_it_happened(server: ServerProcess) -> None:
    people = People(server)
    chat = f"{server.ws_url}/ws/chat/123/?token="
    before = await asyncio.to_thread(scrape, server)

    async with client(chat + people.token("ana")) as ana, client(chat + people.token("bruno")) as bruno:
        for number in range(5):
            await ana.send(message=f"Bonjour {number}", ref=number)
        await ana.send(message=" ", ref="empty")
        await ana.until(lambda: len([f for f in ana.received if f["type"] == "ack"]) == 5)
        await bruno.until_messages(5)
        during = await asyncio.to_thread(scrape, server)
    after = await shows(
        server,
        lambda shown: (
            value(shown, "relais_sockets_open", kind="chat")
            == value(before, "relais_sockets_open", kind="chat")
        ),
    )

    def rise(name: str, shown: Shown = during, **labels: str) -> float:
        return value(shown, name, **labels) - value(before, name, **labels)

    assert rise("relais_sockets_open", kind="chat") == 2
    assert rise("relais_sockets_opened_total", kind="chat") == 2
    assert rise("relais_frames_received_total") == 6
    assert rise("relais_chat_messages_stored_total") == 5
    assert rise("relais_chat_batch_messages_sum") == 5
    assert rise("relais_chat_ack_seconds_count") == 5
    assert 0 < rise("relais_chat_ack_seconds_sum") < 50
    assert rise("relais_deliveries_total") == 10
    assert 1 <= rise("relais_delivery_seconds_count") <= 10
    assert rise("relais_commands_refused_total", code="empty_message") == 1
    assert rise("relais_sockets_closed_total", after, code="1000", reason="peer") == 2
    assert value(after, "relais_workers") == 1
    assert value(after, "relais_process_resident_memory_bytes", worker="0") > 10_000_000


async def listen_to_the_end(url: str) -> None:
    async with connect(url) as socket:
        while True:
            await socket.recv()


async def hostile(server: ServerProcess, people: People) -> None:
    """Put everything that a stranger or a member can into an address, a header, a frame or a close."""
    ana = people.token("ana")
    for path in (
        "/ws/evil-path-1/",
        "/ws/chat/evil-2/?token=" + ana,
        "/ws/chat/99999991/?token=" + ana,
        "/evil%00-3",
    ):
        with pytest.raises((InvalidStatus, ConnectionClosed)):
            await listen_to_the_end(server.ws_url + path)
    for number in range(5):
        with pytest.raises(InvalidStatus):
            async with connect(f"{server.ws_url}/ws/notifications/", origin=f"https://evil-{number}.example"):  # type: ignore[arg-type]
                pass
    async with client(f"{server.ws_url}/ws/chat/123/?v=1&token={ana}") as socket:
        frames: list[dict[str, Any]] = [{"type": f"evil-type-{number}"} for number in range(5)]
        for frame in [*frames, {"evil": 1}, {"message": 7}, {"message": "x", "client_id": "evil"}]:
            await socket.send(**frame)
        await socket.until(lambda: len([f for f in socket.received if f["type"] == "error"]) == 8)
    for code in (3000, 4321, 4999):
        async with connect(f"{server.ws_url}/ws/typing/123/?token={ana}") as socket:
            await socket.close(code, "evil reason")


@pytest.mark.usefixtures("unjudged")  # it sends commands that do not exist
async def test_nothing_that_clients_send_becomes_a_label(server: ServerProcess) -> None:
    await hostile(server, People(server))
    shown = await shows(server, lambda shown: value(shown, "relais_sockets_open", kind="typing") == 0)

    assert value(shown, "relais_sockets_closed_total", code="other", reason="peer") >= 3
    assert value(shown, "relais_handshakes_refused_total", reason="origin") >= 5
    assert value(shown, "relais_handshakes_refused_total", reason="path") >= 2
    told = {(name, label, text) for name, labels in shown for label, text in labels}
    assert [entry for entry in told if not LABEL_VALUE.fullmatch(entry[2])] == []
    lines = [name for name, _ in shown]
    assert {name for name in lines if lines.count(name) > MAX_LINES} == set()


async def test_token_opens_the_metrics_and_stands_in_no_log(server_database: str) -> None:
    with ServerProcess("daphne", database_url=server_database, env={"METRICS_TOKEN": SECRET}) as server:
        headers = {"Authorization": f"Bearer {SECRET}", "X-Forwarded-For": "203.0.113.7"}
        request = urllib.request.Request(f"{server.url}/metrics", headers=headers)
        with await asyncio.to_thread(urllib.request.urlopen, request, timeout=10) as answer:
            assert answer.status == 200

        assert SECRET not in server.log()


# ── two workers on one port ──────────────────────────────────────────────────────────────────────────────


#: The number of sockets: so many that each worker has some of them by more than chance.
MANY = 24


class ByHand(ServerProcess):
    """uvicorn with its own supervisor; the test provides the directory of the metrics."""

    def command(self) -> list[str]:
        return [*super().command(), "--workers", "2"]

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"spawn_main" in _command_line(pid)]


def _command_line(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):  # the worker has ended meanwhile
        return b""


@pytest.fixture(params=["daphne", "uvicorn", "by hand"])
def workers(
    request: pytest.FixtureRequest, new_backends: Callable[[], Backends], tmp_path: Path
) -> Iterator[Workers | ByHand]:
    """Two workers: of `scripts/serve`, whose supervisor makes the directory, or of uvicorn's supervisor."""
    backends = vars(new_backends())
    started: Workers | ByHand
    if request.param == "by hand":
        started = ByHand("uvicorn", **backends, env={"METRICS_DIR": str(tmp_path)})
    else:
        started = Workers(request.param, workers=2, **backends)
    with started as server:
        wait_until(lambda: value(scrape(server), "relais_workers") == 2, seconds=60, what="both are counted")
        yield server


@pytest.mark.stack("full")
async def test_any_worker_answers_for_all_and_a_killed_one_takes_nothing_back(
    workers: Workers | ByHand,
) -> None:
    people = People(workers)
    before = await asyncio.to_thread(scrape, workers)

    async with AsyncExitStack() as stack:
        sockets: list[Client] = [
            await stack.enter_async_context(
                client(f"{workers.ws_url}/ws/chat/123/?token={people.token(username)}")
            )
            for username in ("ana", "bruno") * (MANY // 2)
        ]
        for socket in sockets:
            await socket.send(message="Bonjour")
        for socket in sockets:
            await socket.until_messages(MANY)

        def is_counted(shown: Shown) -> bool:
            """Whether as many messages are counted as there were, whichever workers stored and sent them."""
            expected = {
                "relais_chat_messages_stored_total": MANY,
                "relais_chat_ack_seconds_count": MANY,
                "relais_deliveries_total": MANY * MANY,
            }
            return value(shown, "relais_sockets_open", kind="chat") == MANY and all(
                value(shown, name) - value(before, name) == number for name, number in expected.items()
            )

        last = await shows(workers, is_counted)
        slots = {dict(labels)["worker"] for name, labels in last if name == "relais_process_open_fds"}
        assert slots == {"0", "1"}

        # After the kill the figures that were shown stay, from the first scrape to the last.
        victim = workers.workers()[0]
        os.kill(victim, signal.SIGKILL)
        is_back = False
        for _ in range(600):
            # Counted before the scrape: figures that were shown before the death are of two workers as well.
            pids = workers.workers()
            shown = await asyncio.to_thread(scrape, workers)
            fallen = {
                key: (old, shown.get(key)) for key, old in counters(last).items() if shown.get(key, -1) < old
            }
            assert fallen == {}
            last = shown
            is_back = victim not in pids and len(pids) == 2
            if is_back and value(shown, "relais_workers") == 2:
                break
            await asyncio.sleep(0.05)

        assert is_back
        assert value(last, "relais_workers") == 2

        def alive() -> list[Client]:
            return [socket for socket in sockets if socket.closed_with is None]

        # Both workers had sockets; the clients learn of the death in their own time.
        await shows(
            workers, lambda shown: value(shown, "relais_sockets_open", kind="chat") == len(alive()) < MANY
        )
        assert (
            value(last, "relais_chat_messages_stored_total")
            - value(before, "relais_chat_messages_stored_total")
            == MANY
        )
        await alive()[0].send(message="still here")
        await shows(workers, lambda shown: value(shown, "relais_chat_messages_stored_total") > MANY)


# ── two processes and one directory, whatever started them ───────────────────────────────────────────────


@pytest.mark.stack("full")
@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_process_that_ends_politely_takes_nothing_with_it(
    kind: Literal["daphne", "uvicorn"], new_backends: Any, tmp_path: Path
) -> None:
    started = {**vars(new_backends()), "env": {"METRICS_DIR": str(tmp_path)}}
    with ServerProcess(kind, **started) as one, ServerProcess(kind, **started) as other:
        people = People(one)
        async with client(f"{one.ws_url}/ws/chat/123/?token={people.token('ana')}") as ana:
            for number in range(3):
                await ana.send(message=f"Bonjour {number}", ref=number)
            await ana.until(lambda: len([f for f in ana.received if f["type"] == "ack"]) == 3)
            await asyncio.to_thread(one.stop)

        shown = await asyncio.to_thread(scrape, other)

        assert value(shown, "relais_workers") == 1
        assert value(shown, "relais_chat_messages_stored_total") == 3
        assert value(shown, "relais_sockets_opened_total", kind="chat") == 1
        ended = {labels: n for (name, labels), n in shown.items() if name == "relais_sockets_closed_total"}
        assert sum(n for labels, n in ended.items() if ("code", "1012") in labels) == 1
