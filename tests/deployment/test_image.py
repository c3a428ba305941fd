"""The Dockerfile's own instructions, run in a clean directory, make a server that starts and stops."""

import contextlib
import functools
import http.client
import json
import os
import shutil
import stat
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests import environment, services
from tests.deployment.dockerfile import Image
from tests.processes import Process

REPOSITORY = Path(__file__).parents[2]
GRACEFUL_STOP_SECONDS = 15
ANSWER_SECONDS = 20

# Installing the lock takes 20 s with a warm pip cache, and minutes without one.
# On one stack only: building the image takes a minute.
pytestmark = [pytest.mark.acceptance, pytest.mark.stack("small"), pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    # pytest's tmp_path is closed to everyone but its owner, and the image's user is another one.
    scratch = Path(tempfile.mkdtemp(prefix="relais-image-"))
    scratch.chmod(0o755)
    built = Image(context=REPOSITORY, scratch=scratch)
    try:
        built.build()
        yield built
    finally:
        shutil.rmtree(scratch)


@pytest.fixture(scope="module")
def stores() -> dict[str, str]:
    """The places where the image keeps its data: SQLite in /data by default, or PostgreSQL and Redis as in
    compose."""
    if environment.STACK == "small":
        return {}
    return {
        "DATABASE_URL": services.create_database(services.postgres_url(), "relais_image"),
        "REDIS_URL": services.redis_url(),
    }


@pytest.fixture
def settings(stores: dict[str, str]) -> dict[str, str]:
    """The settings that a deployment adds to the image, with a public name that no probe uses."""
    said = {"SECRET_KEY": "only-for-this-test-" * 2, "ALLOWED_HOSTS": "chat.example.com", "HOST": "127.0.0.1"}
    return said | stores


@pytest.fixture
def migrated(image: Image, settings: Mapping[str, str]) -> None:
    """Run the release step, as railway.toml words it."""
    command = tomllib.loads((REPOSITORY / "railway.toml").read_text())["deploy"]["preDeployCommand"]
    done = _run(image, ["/bin/sh", "-c", command], **settings)
    assert done.returncode == 0, done.stdout


class Container(Process):
    """The image's CMD, or another command in it, with the settings of a deployment."""

    name = "image"

    def __init__(self, image: Image, command: str = "", **settings: str) -> None:
        super().__init__()
        self._image = image
        self._command = command.format(port=self.port).split() or _instruction(image.stage.cmd)
        self._settings = settings | {"PORT": str(self.port)}
        self.working_directory = Path(image.inside(image.stage.workdir))

    def command(self) -> list[str]:
        return _as_the_images_user(self._image, self._command)

    def environment(self) -> dict[str, str]:
        return self._image.environment(**self._settings)

    def answers(self) -> bool:
        try:
            return self.get("/health/ready")[0] == 200
        except OSError:
            return False

    def fetch(self, path: str, *, host: str = "localhost") -> tuple[int, bytes]:
        """The status and the body of a GET, with the given host name."""
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)
        ) as connection:
            connection.request("GET", path, headers={"Host": host})
            response = connection.getresponse()
            return response.status, response.read()

    def get(self, path: str, *, host: str = "localhost") -> tuple[int, Any]:
        """The status and the JSON of a GET, with the given host name."""
        status, body = self.fetch(path, host=host)
        return status, json.loads(body) if body else None

    def is_healthy(self) -> bool:
        """Whether the image's HEALTHCHECK passes."""
        command = _instruction(self._image.stage.healthcheck)
        return _run(self._image, command, **self._settings).returncode == 0


@pytest.mark.usefixtures("migrated")
@pytest.mark.parametrize(
    ("server", "command"),
    [
        ("daphne", ""),
        ("uvicorn", ""),
        pytest.param("", "daphne -b 127.0.0.1 -p {port} config.asgi:application", id="as in the guide"),
    ],
)
def test_image_starts_answers_and_stops(
    image: Image, settings: dict[str, str], server: str, command: str
) -> None:
    with Container(image, command, **settings, SERVER=server) as container:
        layer = "memory" if environment.STACK == "small" else "ok"
        assert container.get("/health/ready") == (200, {"status": "ok", "database": "ok", "layer": layer})
        assert container.is_healthy()

        asked = time.monotonic()
        code = container.stop()

        assert code == 0, container.log()
        assert time.monotonic() - asked < GRACEFUL_STOP_SECONDS
        assert not container.is_healthy()
        assert settings["SECRET_KEY"] not in container.log()


@pytest.mark.usefixtures("migrated")
def test_image_serves_the_static_files_it_collected(image: Image, settings: dict[str, str]) -> None:
    with Container(image, **settings) as container:
        stylesheet = next(Path(image.inside("/app/staticfiles")).glob("admin/css/base.*.css"))

        status, _ = container.fetch(f"/static/admin/css/{stylesheet.name}", host="chat.example.com")

        assert status == 200


def test_image_without_a_secret_key_does_not_start(image: Image, settings: dict[str, str]) -> None:
    del settings["SECRET_KEY"]

    done = _run(image, _instruction(image.stage.cmd), **settings)

    assert done.returncode != 0
    assert "SECRET_KEY" in done.stdout


def test_image_runs_as_a_fixed_user_who_owns_only_the_data(image: Image) -> None:
    useradd = (image.root.parent / "useradd").read_text()

    assert _uid(image) > 0
    assert f"--uid {_uid(image)}" in useradd
    for path in Path(image.inside("/app")).rglob("*"):
        assert not path.lstat().st_mode & stat.S_IWOTH or path.is_symlink(), path
        assert path.lstat().st_uid == os.geteuid(), path
    if os.geteuid() == 0:  # no other user can give the directory away
        assert Path(image.inside("/data")).stat().st_uid == _uid(image)


def test_image_holds_nothing_local_and_nothing_for_development(image: Image) -> None:
    held = {path.name for path in Path(image.inside("/app")).iterdir()}

    assert {"manage.py", "config", "realtime", "chat", "scripts", "staticfiles"} <= held
    assert held.isdisjoint({".env", ".git", ".venv", "tests", "bench", "db.sqlite3", "requirements-dev.txt"})
    installed = {path.name for path in Path(image.inside("/opt/venv/lib")).glob("*/site-packages/*")}
    assert installed.isdisjoint({"pytest", "mypy", "playwright"})


def test_image_stands_on_slim_python_and_says_its_port(image: Image) -> None:
    dockerfile = (REPOSITORY / "Dockerfile").read_text()

    assert {line.split()[1] for line in dockerfile.splitlines() if line.startswith("FROM")} == {
        "python:3.11-slim"
    }
    assert image.stage.exposed == (image.stage.environment["PORT"],)
    assert image.stage.environment["PYTHONUNBUFFERED"] == "1"


def _run(image: Image, command: list[str], **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _as_the_images_user(image, command),
        cwd=image.inside(image.stage.workdir),
        env=image.environment(**settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )


def _as_the_images_user(image: Image, command: list[str]) -> list[str]:
    return [*_becoming(_uid(image), image.inside("/opt/venv/bin/python")), *map(image.inside, command)]


@functools.cache
def _becoming(uid: int, python: str) -> list[str]:
    """The words that make a command run under another uid, if we may and if that uid can reach our Python.

    The Python of a developer often lies in a home that is closed to others. The second way lets the user
    read, but not write, as if it were open: what matters is that the server may write nothing but its data.
    """
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return []
    plain = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    reading = [*plain, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    for words in (plain, reading):
        tried = subprocess.run(
            # They go through a shell, like the start script: some rights survive one step, but not two.
            [*words, "/bin/sh", "-c", f'"{python}" -c "import django"; exit $?'],
            capture_output=True,
            check=False,
        )
        if tried.returncode == 0:
            return words
    return []


def _instruction(instruction: Any) -> list[str]:
    assert instruction is not None, "the Dockerfile lacks it"
    return list(instruction.command())


def _uid(image: Image) -> int:
    return int(image.stage.user.split(":")[0])
