"""What a scenario plays on: workers with a Redis and a PostgreSQL of their own, people, and proxies between.

Everything that waits for a process runs in a thread, because the clients share the event loop with us.
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
#: Characters of a traceback's line that a report shows of its beginning and of its end.
TRACEBACK_PART = 300
#: Below the ports that the kernel gives to clients: a worker must get its own again after it was killed.
OWN_PORTS = range(20_000, 32_000)


def own_port() -> int:
    """A port that no client of ours can be given while its server is away."""
    while True:
        port = random.SystemRandom().choice(
            OWN_PORTS
        )  # not of the seed: two runs with one seed must not meet
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Worker(Relais):
    """One process of ours, on a port that stays its own."""

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
        #: Runs the server's own command line with a fault in it; nothing runs it as it is.
        self.program = program
        self._environment |= {"PORT": str(port), **env}

    def command(self) -> list[str]:
        python, *server = super().command()
        return [python, *self.program, *server]


def freeze(process: Process) -> None:
    """SIGSTOP for a server and whatever it has started."""
    for pid in family(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)


def thaw(process: Process) -> None:
    """And on."""
    for pid in family(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


class Ground:
    """What every server under proof stands on, ours or the guide's; use as an async context."""

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
        """New people, in conversations of so many each.

        Over the native socket some have pages: with so many of these together, and so many topics in all.
        """
        raise NotImplementedError

    async def rows(self, conversations: Sequence[int]) -> list[Row]:
        """The messages of these conversations."""
        raise NotImplementedError

    async def started(self, process: P) -> P:
        """Start a process that ends with us."""
        self._stack.push_async_callback(self.do, self._close, process)
        return await asyncio.to_thread(process.start)

    @staticmethod
    def _close(process: Process) -> None:
        if process.is_running:
            thaw(process)  # a scenario that failed may have left it frozen
        process.close()

    async def do(self, work: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Something that waits, such as `redis.kill`; the clients go on meanwhile."""
        return await asyncio.to_thread(work, *arguments, **named)

    def next_port(self) -> int:
        """A worker for the next connection, by chance: also one that is away.

        In turn would not do: with an even number of conversations each would live in one worker alone.
        """
        return self.rng.choice(self.workers).port

    # --- how they are -----------------------------------------------------------------------------------

    def resident(self) -> float:
        """MB that the workers hold in memory."""
        return sum(memory(worker.pid).resident for worker in self.workers) / 2**20

    def descriptors(self) -> int:
        """Files and sockets that the workers have open."""
        return sum(descriptors(worker.pid) for worker in self.workers)

    async def health(self, worker: Process) -> dict[str, Any]:
        """What /health/ready says, with the HTTP status."""
        return await self.do(get_health, worker.port)

    def sockets(self, *workers: Process) -> int:
        """TCP connections that clients have to these workers, or to all."""
        return sum(len(established(worker.port)) for worker in workers or self.workers)

    def tracebacks(self) -> list[str]:
        """What each traceback in the workers' logs is about, and its end."""
        return [
            line if len(line) < 2 * TRACEBACK_PART else f"{line[:TRACEBACK_PART]} … {line[-TRACEBACK_PART:]}"
            for worker in self.workers
            for line in worker.log().splitlines()
            if '"exception"' in line or line.startswith("Traceback")
        ]


class Stage(Ground):
    """Two workers of ours, one on each of our servers unless told otherwise."""

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
        #: The sockets that people have: only the guide's, or native ones as well.
        self.over = over
        #: Everything in a file instead of a PostgreSQL.
        self.on_sqlite = on_sqlite
        #: The proxies share the clients' event loop: where these are the busiest, they stand in nobody's way.
        self.is_direct = is_direct
        #: More than one: each of the servers is `scripts/serve` with so many workers.
        self.processes = processes
        self.redis_mistreats, self.program = redis_mistreats, program
        self.servers, self.trees, self.env = servers, trees, dict(env or {})
        self.workers: list[Worker] = []

    async def begin(self) -> None:
        self.redis = await self.started(services.RedisServer(port=own_port()))
        if not self.on_sqlite:
            self.postgres = await self.started(services.PostgresServer(port=own_port()))
        # The workers reach both through these, which do nothing until a scenario asks them to.
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
        """The clients have a core of their own meanwhile, and take none of the servers' time."""
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
        """New people, of whom nobody is in two conversations."""
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
        """Their newest seqs."""
        return await self.do(tables.heads, self.database_url, conversations)

    async def readable(self, conversations: Sequence[int]) -> dict[Seat, list[Interval]]:
        """What those may read who came or went: a member from the start reads from the first event on."""
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
    """Ask /health/ready; an answer that does not come is `gone`."""
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
    """What an access token says, unverified: it is one of ours."""
    payload = token.split(".")[1]
    said: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return said
