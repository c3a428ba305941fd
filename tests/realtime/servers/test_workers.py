"""The supervisor, with small workers that each do one thing wrong."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest

from realtime.servers import workers
from realtime.servers.port import Port
from realtime.servers.workers import Supervisor

pytestmark = [pytest.mark.acceptance, pytest.mark.stack("small")]

BEGIN = "import socket, sys, time; listener, line = [socket.socket(fileno=int(n)) for n in sys.argv[1:]]; "
READY = "line.sendall(b'\\n'); "
SERVES = BEGIN + READY + "listener.setblocking(True)\nwhile True: listener.accept()[0].sendall(b'served')"
DIES = BEGIN + READY + "sys.exit(3)"
NEVER_READY = BEGIN + "time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SERVES

#: The time for what takes a fraction of a second on an idle machine.
SOON = 20.0


class Programs:
    """The commands that start one program after the other, and then the last one for ever."""

    def __init__(self, *programs: str) -> None:
        self._programs = list(programs)

    def __call__(self, listener: int, line: int) -> Sequence[str]:
        program = self._programs.pop(0) if len(self._programs) > 1 else self._programs[0]
        return [sys.executable, "-S", "-c", program, str(listener), str(line)]


@pytest.fixture
def port() -> Iterator[Port]:
    with Port("127.0.0.1", 0) as taken:
        yield taken


@contextlib.asynccontextmanager
async def supervised(port: Port, *programs: str, count: int = 1) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(Programs(*programs), port, workers=count)
    running = asyncio.create_task(supervisor.run())
    try:
        yield supervisor
    finally:
        supervisor.stop()
        await asyncio.wait_for(running, SOON)


async def until_logged(caplog: pytest.LogCaptureFixture, pattern: str, times: int = 1) -> list[str]:
    async with asyncio.timeout(SOON):
        while len(found := re.findall(pattern, caplog.text)) < times:  # noqa: ASYNC110 - a log has no event
            await asyncio.sleep(0.01)
    return found


async def ask(port: Port) -> bytes:
    async with asyncio.timeout(SOON):
        reader, writer = await asyncio.open_connection(*port.address)
        answer = await reader.read(10)
        writer.close()
        return answer


@pytest.fixture(autouse=True)
def _listen_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger=workers.__name__)


async def test_worker_that_dies_again_and_again_is_replaced_ever_more_slowly(
    port: Port, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(workers, "LONGEST_PAUSE_SECONDS", 0.15)

    async with supervised(port, DIES):
        pauses = await until_logged(caplog, r"ended with 3; a new one starts in (\S+) s", times=5)

    assert pauses[:5] == ["0", "0.05", "0.1", "0.15", "0.15"]


async def test_death_after_a_long_life_is_the_first_again(
    port: Port, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "HEALTHY_SECONDS", 0.0)

    async with supervised(port, DIES):
        pauses = await until_logged(caplog, r"a new one starts in (\S+) s", times=4)

    assert set(pauses) == {"0"}


async def test_worker_that_cannot_be_started_ends_no_other(
    port: Port, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "FIRST_PAUSE_SECONDS", 0.05)
    real, refused = subprocess.Popen, []

    def no_more(*args: object, **kwargs: object) -> object:
        refused.append(args)
        raise BlockingIOError("too many processes")

    async with supervised(port, SERVES, count=2) as supervisor:
        await until_logged(caplog, "accepts connections", times=2)
        monkeypatch.setattr(subprocess, "Popen", no_more)
        supervisor.replace()
        await until_logged(caplog, "The workers that were not replaced yet go on")
        os.kill(next(iter(supervisor._workers)).pid, signal.SIGKILL)
        await until_logged(caplog, "the others go on", times=2)
        assert [await ask(port) for _ in range(10)] == [b"served"] * 10

        monkeypatch.setattr(subprocess, "Popen", real)
        await until_logged(caplog, "accepts connections", times=3)
    assert len(refused) >= 3


async def test_connection_made_while_a_worker_is_replaced_is_served_by_the_next(
    port: Port, caplog: pytest.LogCaptureFixture
) -> None:
    slow = SERVES.replace(BEGIN, BEGIN + "time.sleep(1); ")

    async with supervised(port, DIES, slow):
        await until_logged(caplog, "a new one starts in 0 s")

        assert await ask(port) == b"served"


async def test_worker_that_pauses_gets_no_connections(
    port: Port, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "FIRST_PAUSE_SECONDS", workers.LONGEST_PAUSE_SECONDS)

    async with supervised(port, SERVES, DIES, count=2):
        await until_logged(caplog, "a new one starts in 30 s")

        assert [await ask(port) for _ in range(20)] == [b"served"] * 20


async def test_worker_that_cannot_start_ends_it_all(port: Port) -> None:
    supervisor = Supervisor(Programs("raise SystemExit(1)"), port, workers=3)

    assert await asyncio.wait_for(supervisor.run(), SOON) == 1


async def test_worker_that_does_not_come_up_in_time_ends_it_all(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "START_SECONDS", 0.2)
    supervisor = Supervisor(Programs(NEVER_READY), port, workers=1)

    assert await asyncio.wait_for(supervisor.run(), SOON) == 1


async def test_stop_while_starting_is_orderly(port: Port, caplog: pytest.LogCaptureFixture) -> None:
    supervisor = Supervisor(Programs(NEVER_READY), port, workers=1)
    running = asyncio.create_task(supervisor.run())
    await until_logged(caplog, "starts")
    supervisor.stop()

    assert await asyncio.wait_for(running, SOON) == 0


async def test_worker_that_does_not_end_is_killed_and_the_status_says_so(
    port: Port, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "STOP_SECONDS", 0.2)
    supervisor = Supervisor(Programs(STUBBORN), port, workers=1)
    running = asyncio.create_task(supervisor.run())
    await until_logged(caplog, "accepts connections")
    supervisor.stop()

    assert await asyncio.wait_for(running, SOON) == 1
    assert "did not end within 0.2 s and is killed" in caplog.text


async def test_replacement_takes_over_before_the_old_one_goes(
    port: Port, caplog: pytest.LogCaptureFixture
) -> None:
    async with supervised(port, SERVES) as supervisor:
        await until_logged(caplog, "accepts connections")
        supervisor.replace()
        await until_logged(caplog, "has taken the place of")

        starts, accepts, starts_again, accepts_again, taken = re.findall(
            r"Worker (\d+) (?:starts|accepts|has taken)", caplog.text
        )
        assert starts == accepts
        assert starts_again == accepts_again == taken
        assert await ask(port) == b"served"
    assert "ended with" not in caplog.text


async def test_replacement_that_does_not_come_up_leaves_the_others(
    port: Port, caplog: pytest.LogCaptureFixture
) -> None:
    async with supervised(port, SERVES, SERVES, "raise SystemExit(1)", count=2) as supervisor:
        await until_logged(caplog, "accepts connections", times=2)
        supervisor.replace()
        await until_logged(caplog, "The workers that were not replaced yet go on")

        assert len(re.findall("starts", caplog.text)) == 3
        assert await ask(port) == b"served"


def test_port_stays_taken_while_nobody_listens(port: Port) -> None:
    with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
        stranger.bind(port.address)


def test_port_in_use_is_not_shared_with_a_stranger(port: Port) -> None:
    with port.new_socket() as listener:
        listener.listen()

        with pytest.raises(OSError, match="in use"):
            Port(*port.address)
