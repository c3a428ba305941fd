"""What a scenario plays on: workers with a Redis and a PostgreSQL of their own, people, and proxies between.

Everything that waits for a process runs in a thread, because the clients share the event loop with us.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import itertools
import json
import os
import random
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from bench.machine import ROOT, family, memory
from bench.peers.guide.server import GuideServer
from bench.relais import Conversation, Relais, migrate
from proof import tables
from proof.history import Interval, Row, Seat
from proof.member import Place, speaker_of
from proof.proxy import Proxy
from proof.resp import Mistreats
from tests import services
from tests.processes import Process
from tests.servers import Kind

T = TypeVar("T")
P = TypeVar("P", bound=Process)
#: Below the ports that the kernel gives to clients: a worker must get its own again after it was killed.
OWN_PORTS = range(20_000, 32_000)


def own_port(rng: random.Random) -> int:
    """A port that no client of ours can be given while its server is away."""
    while True:
        port = rng.choice(OWN_PORTS)
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
    ) -> None:
        super().__init__(kind, tree=tree, database_url=database_url, redis_url=redis_url)
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


class Stage:
    """Two workers, one on each of our servers unless told otherwise; use as an async context."""

    def __init__(
        self,
        rng: random.Random,
        *,
        servers: Sequence[Kind] = ("daphne", "uvicorn"),
        trees: Sequence[Path] = (ROOT, ROOT),
        env: Mapping[str, str] | None = None,
        redis_mistreats: Mistreats | None = None,
        program: Sequence[str] = (),
    ) -> None:
        self.rng = rng
        self.redis_mistreats, self.program = redis_mistreats, program
        self.servers, self.trees, self.env = servers, trees, dict(env or {})
        self._stack = contextlib.AsyncExitStack()
        self._turn = itertools.count()
        self.workers: list[Worker] = []

    async def __aenter__(self) -> Self:
        self.redis = await self._started(services.RedisServer(port=own_port(self.rng)))
        self.postgres = await self._started(services.PostgresServer(port=own_port(self.rng)))
        # The workers reach both through these, which do nothing until a scenario asks them to.
        self.redis_proxy = await self._stack.enter_async_context(Proxy(self.redis.port))
        if self.redis_mistreats is not None:
            self.redis_proxy.filter_down = self.redis_mistreats.filter
        self.postgres_proxy = await self._stack.enter_async_context(Proxy(self.postgres.port))
        self.database_url = services.create_database(self.postgres.url, "proof")
        await asyncio.to_thread(migrate, database_url=self.database_url, tree=self.trees[-1])
        for kind, tree in zip(self.servers, self.trees, strict=False):
            worker = Worker(
                kind,
                port=own_port(self.rng),
                env=self.env,
                program=self.program,
                tree=tree,
                database_url=self._through(self.postgres_proxy, self.database_url),
                redis_url=f"redis://127.0.0.1:{self.redis_proxy.port}/0",
            )
            self.workers.append(await self._started(worker))
        return self

    async def __aexit__(self, *_exception: object) -> None:
        with contextlib.suppress(AssertionError):  # a scenario that failed may have left them frozen
            for process in (self.redis, self.postgres, *self.workers):
                if process.is_running:
                    thaw(process)
        await self._stack.aclose()

    @staticmethod
    def _through(proxy: Proxy, url: str) -> str:
        start, _, rest = url.partition("@127.0.0.1:")
        return f"{start}@127.0.0.1:{proxy.port}/{rest.partition('/')[2]}"

    async def _started(self, process: P) -> P:
        self._stack.push_async_callback(self.do, process.close)
        return await asyncio.to_thread(process.start)

    async def do(self, work: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Something that waits, such as `redis.kill`; the clients go on meanwhile."""
        return await asyncio.to_thread(work, *arguments, **named)

    # --- who is there -----------------------------------------------------------------------------------

    def next_port(self) -> int:
        """A worker for the next connection, each in turn, as a load balancer would: also one that is away."""
        return self.workers[next(self._turn) % len(self.workers)].port

    async def people(self, *, conversations: int, members: int) -> list[list[Place]]:
        """New people, in conversations of so many each."""
        made: list[Conversation] = await self.do(
            self.workers[-1].fixture, conversations=conversations, members=members
        )
        return [
            [Place(each.conversation_id, int(claims(token)["user_id"]), token) for token in each.tokens] for each in made
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

    # --- how they are -----------------------------------------------------------------------------------

    def resident(self) -> float:
        """MB that the workers hold in memory."""
        return sum(memory(worker.pid).resident for worker in self.workers) / 2**20

    def descriptors(self) -> int:
        """Files and sockets that the workers have open."""
        return sum(len(list(Path(f"/proc/{worker.pid}/fd").iterdir())) for worker in self.workers)

    async def health(self, worker: Process) -> dict[str, Any]:
        """What /health/ready says, with the HTTP status."""
        return await self.do(get_health, worker.port)

    def tracebacks(self) -> list[str]:
        """The last line of each traceback in the workers' logs."""
        return [
            line[:300]
            for worker in self.workers
            for line in worker.log().splitlines()
            if '"exception"' in line or line.startswith("Traceback")
        ]


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


class GuideStage:
    """The guide's server in the same place: two Daphnes with one SQLite file and one Redis."""

    def __init__(self, rng: random.Random, **_ours: Any) -> None:
        self.rng = rng
        self._stack = contextlib.AsyncExitStack()
        self._turn = itertools.count()

    async def __aenter__(self) -> Self:
        self.redis = await self._started(services.RedisServer(port=own_port(self.rng)))
        first = await asyncio.to_thread(
            GuideServer, redis_url=self.redis.url, port=own_port(self.rng)
        )
        second = GuideServer(redis_url=self.redis.url, port=own_port(self.rng), database=first.database)
        self.workers = [await self._started(first), await self._started(second)]
        self._conversations = itertools.count(1)
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._stack.aclose()

    async def _started(self, process: P) -> P:
        self._stack.push_async_callback(self.do, process.close)
        return await asyncio.to_thread(process.start)

    do = Stage.do
    next_port = Stage.next_port
    resident = Stage.resident
    descriptors = Stage.descriptors
    tracebacks = Stage.tracebacks
    health = Stage.health

    async def people(self, *, conversations: int, members: int) -> list[list[Place]]:
        """It knows nobody: people are numbers of ours."""
        return [
            [Place(number, number * 10_000 + index) for index in range(members)]
            for number in itertools.islice(self._conversations, conversations)
        ]

    async def rows(self, conversations: Sequence[int]) -> list[Row]:
        """Each message at its place among those of its conversation, and named by its text."""
        places: dict[int, Any] = {}
        return [
            Row(
                conversation,
                next(places.setdefault(conversation, itertools.count(1))),
                number,
                speaker_of(text),
                text,
                text,
            )
            for conversation, number, text in await self.do(tables.guides_messages, self.workers[0].database)
        ]
