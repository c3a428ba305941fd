"""The stage of a scenario: workers with a Redis and a PostgreSQL of their own, users, and proxies between.

Whatever waits for a process runs in a thread, because the clients share this event loop.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import json
import os
import random
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from bench.machine import ROOT, descriptors, family, memory, pin, pinned
from bench.relais import Conversation, Relais, migrate
from proof import tables
from proof.history import Interval, Row, Seat
from proof.member import Place
from proof.proxy import Proxy
from proof.resp import Mistreats
from proof.seats import TWENTY, Over, seat_pages
from tests import services
from tests.processes import Process, established
from tests.servers import Kind

T = TypeVar("T")
P = TypeVar("P", bound=Process)
#: Characters at the beginning and at the end of a traceback's line that a report shows.
TRACEBACK_PART = 300
#: Below the ports that the kernel gives to clients: a killed worker must get its own port again.
OWN_PORTS = range(20_000, 32_000)


def own_port() -> int:
    """A port that no client can be given while its server is down."""
    while True:
        port = random.SystemRandom().choice(
            OWN_PORTS
        )  # independent of the seed: two runs with one seed must not meet
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Worker(Relais):
    """One Relais process, on a port that stays its own."""

    def __init__(
        self,
        kind: Kind,
        *,
        port: int,
        env: Mapping[str, str],
        program: Sequence[str],
        tree: Path,
        database_url: str,
        redis_url: str,
        processes: int = 1,
    ) -> None:
        super().__init__(kind, tree=tree, database_url=database_url, redis_url=redis_url, workers=processes)
        self.port = port
        #: The program that runs the server's command line with a fault in it; empty for no fault.
        self.program = program
        self._environment |= {"PORT": str(port), **env}

    def command(self) -> list[str]:
        python, *server = super().command()
        return [python, *self.program, *server]


def freeze(process: Process) -> None:
    """Stop a server and its children with SIGSTOP."""
    for pid in family(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)


def thaw(process: Process) -> None:
    """Let a frozen server run on."""
    for pid in family(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


class Ground:
    """The base of every server under proof, Relais or the guide's; used as an async context."""

    redis: services.RedisServer
    workers: Sequence[Process]

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self.begin()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._stack.aclose()

    async def begin(self) -> None:
        """Start everything."""
        raise NotImplementedError

    async def people(
        self, *, conversations: int, members: int, together: int = 1, topics: int = TWENTY
    ) -> list[list[Place]]:
        """New users in new conversations, as places.

        Over native sockets some users have pages, with `together` of these conversations each, and `topics`
        conversations in all.
        """
        raise NotImplementedError

    async def rows(self, conversations: Sequence[int]) -> list[Row]:
        """The messages of these conversations."""
        raise NotImplementedError

    async def started(self, process: P) -> P:
        """Start a process that ends with the stage."""
        self._stack.push_async_callback(self.do, self._close, process)
        return await asyncio.to_thread(process.start)

    @staticmethod
    def _close(process: Process) -> None:
        if process.is_running:
            thaw(process)  # a scenario that failed may have left it frozen
        process.close()

    async def do(self, work: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Run blocking work, such as `redis.kill`, in a thread; the clients go on meanwhile."""
        return await asyncio.to_thread(work, *arguments, **named)

    def next_port(self) -> int:
        """The port of a random worker for the next connection, even of one that is down.

        Taken in turn, with an even number of conversations each would live in one worker alone.
        """
        return self.rng.choice(self.workers).port

    # --- how they are -----------------------------------------------------------------------------------

    def resident(self) -> float:
        """MB of memory that the workers hold."""
        return sum(memory(worker.pid).resident for worker in self.workers) / 2**20

    def descriptors(self) -> int:
        """Files and sockets that the workers have open."""
        return sum(descriptors(worker.pid) for worker in self.workers)

    async def health(self, worker: Process) -> dict[str, Any]:
        """The answer of /health/ready, with its HTTP status."""
        return await self.do(get_health, worker.port)

    def sockets(self, *workers: Process) -> int:
        """TCP connections from clients to these workers, or to all."""
        return sum(len(established(worker.port)) for worker in workers or self.workers)

    def tracebacks(self) -> list[str]:
        """The beginning and the end of each traceback in the workers' logs."""
        return [
            line if len(line) < 2 * TRACEBACK_PART else f"{line[:TRACEBACK_PART]} … {line[-TRACEBACK_PART:]}"
            for worker in self.workers
            for line in worker.log().splitlines()
            if '"exception"' in line or line.startswith("Traceback")
        ]


class Stage(Ground):
    """Two Relais workers, by default one on each ASGI server."""

    def __init__(
        self,
        rng: random.Random,
        *,
        servers: Sequence[Kind] = ("daphne", "uvicorn"),
        trees: Sequence[Path] = (ROOT, ROOT),
        env: Mapping[str, str] | None = None,
        redis_mistreats: Mistreats | None = None,
        program: Sequence[str] = (),
        processes: int = 1,
        is_direct: bool = False,
        on_sqlite: bool = False,
        over: Over = "guide",
    ) -> None:
        super().__init__(rng)
        #: The sockets that members have: only the guide's, or native ones as well.
        self.over = over
        #: The database is a SQLite file instead of PostgreSQL.
        self.on_sqlite = on_sqlite
        #: The proxies share the clients' event loop: where the clients are busy, no proxy is used.
        self.is_direct = is_direct
        #: With more than one, each server is `scripts/serve` with so many workers.
        self.processes = processes
        self.redis_mistreats, self.program = redis_mistreats, program
        self.servers, self.trees, self.env = servers, trees, dict(env or {})
        self.workers: list[Worker] = []

    async def begin(self) -> None:
        self.redis = await self.started(services.RedisServer(port=own_port()))
        if not self.on_sqlite:
            self.postgres = await self.started(services.PostgresServer(port=own_port()))
        # The workers reach both through these proxies, which do nothing until a scenario asks them to.
        self.redis_proxy = await self._stack.enter_async_context(Proxy(self.redis.port))
        if self.redis_mistreats is not None:
            self.redis_proxy.filter_down = self.redis_mistreats.filter
        if self.on_sqlite:
            directory = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="relais-proof-"))
            self.database_url = database_url = f"sqlite:///{directory}/db.sqlite3"
        else:
            self.postgres_proxy = await self._stack.enter_async_context(Proxy(self.postgres.port))
            self.database_url = services.create_database(self.postgres.url, "proof")
            database_url = self._through(self.postgres_proxy, self.database_url)
        await asyncio.to_thread(migrate, database_url=self.database_url, tree=self.trees[-1])
        for kind, tree in zip(self.servers, self.trees, strict=False):
            worker = Worker(
                kind,
                port=own_port(),
                env=self.env,
                program=self.program,
                tree=tree,
                processes=self.processes,
                database_url=self.database_url if self.is_direct else database_url,
                redis_url=self.redis.url
                if self.is_direct
                else f"redis://127.0.0.1:{self.redis_proxy.port}/0",
            )
            self.workers.append(await self.started(worker))

    @staticmethod
    def _through(proxy: Proxy, url: str) -> str:
        start, _, rest = url.partition("@127.0.0.1:")
        return f"{start}@127.0.0.1:{proxy.port}/{rest.partition('/')[2]}"

    @contextlib.contextmanager
    def apart(self) -> Iterator[None]:
        """For the length of the block, the clients have a core of their own, and use none of the servers'."""
        *others, last = sorted(os.sched_getaffinity(0))
        if not others:
            yield
            return
        for process in (*self.workers, self.redis, self.postgres):
            pin(process.pid, others)
        with pinned([last]):
            yield

    async def people(
        self, *, conversations: int, members: int, together: int = 1, topics: int = TWENTY
    ) -> list[list[Place]]:
        tables = await self.do(self.strangers, conversations=conversations, members=members)
        if self.over == "native":
            tables = await self.do(seat_pages, self, tables, together=together, topics=topics)
        return tables

    def strangers(self, *, conversations: int, members: int) -> list[list[Place]]:
        """New users, none of whom is in two conversations."""
        made: list[Conversation] = self.workers[-1].fixture(conversations=conversations, members=members)
        return [
            [Place(each.conversation_id, int(claims(token)["user_id"]), token) for token in each.tokens]
            for each in made
        ]

    def sql(self, statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Run a statement past the server."""
        return tables.run(self.database_url, statement, *arguments)

    async def rows(self, conversations: Sequence[int]) -> list[Row]:
        """The messages of these conversations."""
        return await self.do(tables.messages, self.database_url, conversations)

    async def heads(self, conversations: Sequence[int]) -> dict[int, int]:
        """The newest seqs of these conversations."""
        return await self.do(tables.heads, self.database_url, conversations)

    async def readable(self, conversations: Sequence[int]) -> dict[Seat, list[Interval]]:
        """The intervals of members who came or went; a member from the start reads from the first event."""
        found: dict[Seat, list[Interval]] = {}
        moves = await self.do(tables.comings_and_goings, self.database_url, conversations)
        for conversation, user, seq, has_come in moves:
            intervals = found.setdefault((conversation, user), [] if has_come else [Interval()])
            if has_come:
                intervals.append(Interval(seq))
            else:
                intervals[-1] = intervals[-1]._replace(up_to=seq)
        return found


def get_health(port: int) -> dict[str, Any]:
    """Ask /health/ready; a missing answer is `gone`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health/ready")
        answer = connection.getresponse()
        return {"http": answer.status, **json.loads(answer.read())}
    except (OSError, http.client.HTTPException, ValueError) as error:
        return {"http": 0, "status": "gone", "error": str(error)}
    finally:
        connection.close()


def claims(token: str) -> dict[str, Any]:
    """The claims of an access token, unverified: this program made it."""
    payload = token.split(".")[1]
    said: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return said
