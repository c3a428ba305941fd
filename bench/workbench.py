"""The workbench of a scenario: it starts servers, databases and Redis on their cores, and ends them all."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from bench.crowd import Crowd, Place
from bench.machine import ROOT, Cores, allow_many_files, pinned
from bench.peers.guide.server import GuideServer
from bench.peers.nchan import AbsentError, NchanServer
from bench.relais import ENVIRONMENT, Relais, migrate, run_in
from tests import services
from tests.processes import Process
from tests.servers import Kind

Database = Literal["sqlite", "postgresql"]
P = TypeVar("P", bound=Process)
KINDS: tuple[Kind, ...] = ("uvicorn", "daphne")


class DurablePostgres(services.PostgresServer):
    """PostgreSQL as in production: a commit reaches the disk, unlike in the tests."""

    def command(self) -> list[str]:
        return [
            *super().command(),
            "-c",
            "fsync=on",
            "-c",
            "full_page_writes=on",
            "-c",
            "synchronous_commit=on",
        ]


@dataclass(frozen=True)
class Effort:
    """The options of a run: what is measured, for how long and how often."""

    runs: int = 5
    seconds: float = 5.0
    warmup: float = 1.5
    #: Scales the numbers of sockets and rows; the marks hold for 1.
    scale: float = 1.0
    #: Decides which sockets speak; fixed for a run, so that it can be repeated.
    seed: int = 0
    #: Pairs of two revisions; the interval of nine is 96 %.
    pairs: int = 9
    #: The parts in which two revisions are compared, and on which servers.
    what: Sequence[str] = ()
    servers: Sequence[Kind] = ("uvicorn",)

    def sized(self, number: int, *, least: int = 1) -> int:
        """A number of the scenario, scaled."""
        return max(least, int(number * self.scale))


@dataclass
class Workbench:
    """Starts servers inside a `with` block; they end with it."""

    effort: Effort = field(default_factory=Effort)
    #: The checkout of another revision, which is measured beside this one.
    base: Path | None = None
    cores: Cores = field(default_factory=Cores.of_this_machine)

    def __post_init__(self) -> None:
        self.files = allow_many_files()
        self.directory = Path(tempfile.mkdtemp(prefix="relais-bench-"))
        self._stack = contextlib.ExitStack()
        self._stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
        self._numbers = itertools.count(1)
        self._postgres: DurablePostgres | None = None
        #: Peers that could not be measured, with the reason.
        self.absent: dict[str, str] = {}
        #: Other programs that were running, for the report.
        self.versions: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stack.close()

    def part(self) -> Workbench:
        """A workbench inside this one, for servers that must end earlier."""
        part = Workbench(effort=self.effort, base=self.base, cores=self.cores)
        part.absent, part.versions = self.absent, self.versions
        return part

    # --- servers --------------------------------------------------------------------------------------

    def relais(
        self,
        kind: Kind,
        *,
        database: Database = "sqlite",
        workers: int = 1,
        tree: Path = ROOT,
        env: Mapping[str, str] | None = None,
    ) -> Relais:
        """Relais, with a Redis and a database of its own. Several workers are not pinned to cores."""
        server = Relais(
            kind,
            database_url=self.database(database, tree=tree),
            redis_url=self.redis().url,
            workers=workers,
            tree=tree,
            env=env,
        )
        return self._started(server, self.cores.server if workers == 1 else ())

    def guide(self) -> GuideServer:
        """The guide's server."""
        return self._started(GuideServer(redis_url=self.redis().url), self.cores.server)

    def nchan(self) -> NchanServer | None:
        """nginx with nchan; None where it is missing, which the report says."""
        try:
            server = self._started(NchanServer(files=self.files), self.cores.server)
        except AbsentError as reason:
            self.absent["nchan"] = str(reason)
            return None
        self.versions["nchan"] = server.version()
        return server

    def redis(self) -> services.RedisServer:
        """A Redis for one server, because topics of two databases have the same names."""
        server = self._started(services.RedisServer(), self.cores.services)
        self.versions["redis"] = f"{server.binary.path.name} {server.binary.version()}"
        return server

    def database(self, kind: Database, *, tree: Path = ROOT) -> str:
        """A new, migrated database."""
        name = f"bench_{next(self._numbers)}"
        if kind == "sqlite":
            url = f"sqlite:///{self.directory / name}.sqlite3"
        else:
            url = services.create_database(self._postgresql().url, name)
        migrate(database_url=url, tree=tree)
        return url

    def _postgresql(self) -> DurablePostgres:
        if self._postgres is None:
            self._postgres = self._started(DurablePostgres(), self.cores.services)
            self.versions["postgresql"] = f"{self._postgres.binary.version()}, fsync on"
        return self._postgres

    def _started(self, process: P, cores: Sequence[int]) -> P:
        self._stack.callback(process.close)
        with pinned(cores):
            process.start()
        return process

    def inside(self, *arguments: str) -> Any:
        """The output of `bench.inside`, in a process of its own on a server's core."""
        environment = os.environ | ENVIRONMENT | {"DATABASE_URL": self.database("sqlite"), "REDIS_URL": ""}
        with pinned(self.cores.server):
            return json.loads(run_in(ROOT, environment, "-m", "bench.inside", *arguments))

    # --- load -----------------------------------------------------------------------------------------

    def crowd(
        self, process: Process, places: Sequence[Place], *, generators: int = 1, turn: int = 0
    ) -> Crowd:
        """Sockets of a server, not opened yet, in an order by the run's seed; each turn has another order.

        A server writes to its sockets in the order in which they connected. Speakers who connected first
        would receive their own message first, and speak again while the others still wait for it.
        """
        return self._stack.enter_context(
            Crowd(
                process.port,
                shuffled(places, seed=self.effort.seed, turn=turn),
                processes=generators,
                cores=self.cores.generator,
            )
        )


def shuffled(places: Sequence[Place], *, seed: int, turn: int = 0) -> list[Place]:
    """The places in an order by seed and turn, the same for equally many places of any server."""
    return random.Random(f"{seed} {turn}").sample(places, len(places))
