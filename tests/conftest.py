"""Fixtures for all tests: people, and running servers. Fixtures of one app are in its directory.

`connect` and `published` come from `realtime.testing`, the kit that applications built on Relais use as well;
`contract.testing` checks every frame against the published contract.
"""

import contextlib
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import hypothesis
import pytest
from django.db import connections
from django.db.backends.postgresql.base import DatabaseWrapper as PostgresWrapper

from accounts.models import User
from accounts.tokens import access_token
from bench.machine import allow_many_files
from realtime.hub.hub import Hub
from tests import environment, services
from tests.factories import make_user
from tests.fast import is_fast, refuse_processes
from tests.flushing import empty_what_tests_fill
from tests.servers import ServerProcess, manage

pytest_plugins = ["realtime.testing", "contract.testing"]

# With its own deadlines (0.2 s for an example, 1 s for making ten of them) a busy machine would fail a test.
hypothesis.settings.register_profile("relais", deadline=None)
hypothesis.settings.load_profile("relais")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Split the suite in two parts, which `scripts/test` runs one after the other."""
    parts = parser.getgroup("relais").addoption
    parts("--fast", dest="part", action="store_const", const="fast", help="only tests that start no process")
    parts("--rest", dest="part", action="store_const", const="rest", help="all tests but those of --fast")


def pytest_configure(config: pytest.Config) -> None:
    """Allow more open files: a thousand sockets at once are more than many shells allow, for us and for our
    servers."""
    allow_many_files()
    if config.option.part == "fast" and environment.STACK != "small":
        raise pytest.UsageError("--fast is the small stack; TEST_STACK says otherwise")


def pytest_sessionfinish() -> None:
    """Write for `tests.summary` the frames that were told in this process, if it names a place for them."""
    if directory := os.environ.get("FRAMES_SEEN"):
        from contract.testing import contract

        found = {"known": sorted(contract().known), "seen": sorted(contract().seen)}
        (Path(directory) / f"frames-{os.getpid()}.json").write_text(json.dumps(found))


def pytest_report_header() -> list[str]:
    """Report the databases, servers and programs of the run."""
    stack = {"small": "SQLite and the memory layer", "full": "PostgreSQL and Redis"}[environment.STACK]
    return [f"stack: {environment.STACK}, {stack}", *services.describe()]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what belongs to the other stack, by its `stack` marker, or to the other part of the suite: it
    runs there, so it is not skipped."""
    part = config.option.part

    def is_of_this_run(item: pytest.Item) -> bool:
        return _stack(item) in {None, environment.STACK} and (
            part is None or is_fast(item) == (part == "fast")
        )

    here = {item: is_of_this_run(item) for item in items}
    config.hook.pytest_deselected(items=[item for item in items if not here[item]])
    items[:] = [item for item in items if here[item]]


def _stack(item: pytest.Item) -> str | None:
    marker = item.get_closest_marker("stack")
    return marker.args[0] if marker else None


@pytest.fixture(scope="session", autouse=True)
def _application() -> None:
    """Import the application, which sets up logging; doing that in the middle of a test would take `caplog`
    its handler."""
    import config.asgi  # noqa: F401


@pytest.fixture(scope="session", autouse=True)
def _frames_of_programs_are_seen() -> Iterator[None]:
    from tests.frames import watch_programs  # only after pytest has loaded the plugins that this imports

    with pytest.MonkeyPatch.context() as patch:
        watch_programs(patch)
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_process_in_the_fast_set(pytestconfig: pytest.Config) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if pytestconfig.option.part == "fast":
            refuse_processes(patch)
        yield


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> Iterator[None]:
    """Django's own, which also closes connections of threads before the database is dropped: they would keep
    it."""
    with pytest.MonkeyPatch.context() as patch:
        empty_what_tests_fill(patch)
        yield
    connection = connections["default"]
    if isinstance(connection, PostgresWrapper):
        connection.close()
        connection.close_pool()
        services.disconnect_everyone(services.postgres_url(), connection.settings_dict["NAME"])


# ── people ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def ana(db: None) -> User:
    return make_user("ana")


@pytest.fixture
def bruno(db: None) -> User:
    return make_user("bruno")


@pytest.fixture
def clara(db: None) -> User:
    """A stranger: a user who may sign in, and takes part in nothing."""
    return make_user("clara")


@pytest.fixture
def token_of() -> Callable[[User], str]:
    """A function that makes the token with which `connect` signs people in."""
    return access_token


@pytest.fixture
def tokens_age(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """`tokens_age(60)`: to open sockets it is a minute later. A token that really ends soon ends too soon
    for a busy machine, and PyJWT cuts the fraction of its `exp` off."""

    def age(seconds: float) -> None:
        clock = hub.loop.time
        monkeypatch.setattr(hub.expiries, "_loop", SimpleNamespace(time=lambda: clock() + seconds))

    return age


# ── running servers: other processes, other databases; the people above do not exist for them ────────────


@dataclass(frozen=True)
class Backends:
    """The database and the Redis of one server, shared with no other: `ServerProcess("uvicorn",
    **vars(backends))`."""

    database_url: str
    redis_url: str


@pytest.fixture(scope="session")
def new_database() -> Callable[[], str]:
    """Makes migrated databases with the demo data (conversation 123); each call returns the URL of a new
    one."""
    template = "relais_template"
    numbers = itertools.count(1)
    if environment.STACK == "full":
        _migrate(services.create_database(services.postgres_url(), template))
    else:
        _migrate(environment.sqlite_url(template))

    def new() -> str:
        name = f"relais_{next(numbers)}"
        if environment.STACK == "full":
            return services.create_database(services.postgres_url(), name, template=template)
        shutil.copy(environment.sqlite_file(template), environment.sqlite_file(name))
        return environment.sqlite_url(name)

    return new


def _migrate(database_url: str) -> None:
    manage("migrate", "--verbosity", "0", database_url=database_url)
    manage("seed_demo", database_url=database_url)


@pytest.fixture(scope="session")
def new_backends(new_database: Callable[[], str]) -> Iterator[Callable[[], Backends]]:
    """Makes the backends of a server. Each has a Redis of its own: topics of two databases have the same
    names."""
    with contextlib.ExitStack() as running:

        def new() -> Backends:
            full = environment.STACK == "full"
            redis_url = running.enter_context(services.RedisServer()).url if full else ""
            return Backends(database_url=new_database(), redis_url=redis_url)

        yield new


@pytest.fixture(scope="session")
def server_database(new_database: Callable[[], str]) -> str:
    """A migrated database for servers that a test starts itself."""
    return new_database()


@pytest.fixture(scope="session")
def daphne_server(new_backends: Callable[[], Backends]) -> Iterator[ServerProcess]:
    with ServerProcess("daphne", **vars(new_backends())) as server:
        yield server


@pytest.fixture(scope="session")
def uvicorn_server(new_backends: Callable[[], Backends]) -> Iterator[ServerProcess]:
    with ServerProcess("uvicorn", **vars(new_backends())) as server:
        yield server


@pytest.fixture(scope="session")
def fallback_server(new_backends: Callable[[], Backends]) -> Iterator[ServerProcess]:
    """A server without our adapter."""
    with ServerProcess("fallback", **vars(new_backends())) as server:
        yield server


@pytest.fixture(scope="session", params=["daphne", "uvicorn"])
def server(request: pytest.FixtureRequest, new_backends: Callable[[], Backends]) -> ServerProcess:
    """Each of the two servers in turn; the same promises hold on both.

    A test that holds on any other server as well says so, with `tests.servers.on_any_server`.
    """
    running: ServerProcess = request.getfixturevalue(f"{request.param}_server")
    return running
