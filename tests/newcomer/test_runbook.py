"""Every command of the runbook is tried: run, or read by bash where it belongs to another machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import yaml
from websockets.sync.client import connect

from config import settings
from realtime.errors import CloseCode
from realtime.metrics.instruments import REGISTRY
from tests.acceptance.people import People
from tests.conftest import Backends
from tests.newcomer.documents import blocks, commands
from tests.servers import ROOT, ServerProcess, product_environment

PAGE = "docs/operations/runbook.md"
TEXT = (ROOT / PAGE).read_text()
#: Our own programs are run; these, of the operator's machine, are read by bash.
ELSEWHERE = (
    "systemctl",
    "journalctl",
    "docker",
    "git",
    "sqlite3",
    "timedatectl",
    "psql",
    "pip",
    "du",
    "ss",
    "top",
)
OURS = ("curl", "python", "shows", "log", "df", "date")
BARE, COMPOSE, *TYPED = [block for block in blocks(PAGE) if block.language == "bash"]


def inline_commands() -> Iterator[str]:
    r"""Texts in backticks that begin with a program; a table writes `|` as `\|`."""
    prose = re.sub(r"^```.*?^```", "", TEXT, flags=re.MULTILINE | re.DOTALL)
    for code in re.findall(r"`([^`]+)`", prose):
        program, _, arguments = code.partition(" ")
        if program in ELSEWHERE or (program in OURS and arguments):
            yield code.replace("\\|", "|")


ALL = sorted({*inline_commands(), *(command for block in TYPED for command in commands(block))})


def of(*programs: str) -> list[str]:
    return [command for command in ALL if command.split()[0] in programs]


def test_every_command_is_of_a_program_that_is_tried() -> None:
    assert len(ALL) > 50
    assert of(*ELSEWHERE, *OURS) == ALL


@pytest.mark.parametrize("command", [BARE.text, COMPOSE.text, *ALL])
def test_command_for_another_machine_is_valid_bash(command: str) -> None:
    subprocess.run(["bash", "-n", "-c", command], check=True)


# ── against a running server ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def server(new_backends: Callable[[], Backends]) -> Iterator[ServerProcess]:
    with ServerProcess("uvicorn", **vars(new_backends())) as running:
        with connect(f"{running.ws_url}/ws/notifications/?token={People(running).token('ana')}"):
            pass
        yield running


def typed(server: ServerProcess, command: str) -> str:
    """The output of a command after those of the page's first block, on the port of this server."""
    functions = "\n".join(line for line in BARE.text.splitlines() if "() {" in line)
    functions += '\ncurl() { command curl --fail-with-body "$@"; }'
    done = subprocess.run(
        ["bash", "-euc", f"{functions}\n{command}".replace("8000", str(server.port))],
        cwd=ROOT,
        env=product_environment(database_url=server.database_url, redis_url=server.redis_url)
        | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.acceptance
@pytest.mark.parametrize("command", of("curl", "df", "date", "python"))
def test_command_of_the_runbook_works(command: str, server: ServerProcess) -> None:
    assert typed(server, command) or command.startswith("python manage.py shell")


@pytest.mark.acceptance
@pytest.mark.parametrize("command", of("shows"))
def test_metrics_are_shown(command: str, server: ServerProcess) -> None:
    """Every metric that the command names is shown; one of a certain code, once a socket was closed with
    it."""
    pattern = re.sub(r"\.\*\w+", "", command.removeprefix("shows ").strip("'"))

    for name in _alternatives(pattern):
        assert typed(server, f"shows '{name}'"), name


def _alternatives(pattern: str) -> list[str]:
    """`a_(b|c)_d|e` as `a_b_d`, `a_c_d`, `e`."""
    if found := re.search(r"\(([^()]*)\)", pattern):
        before, after = pattern[: found.start()], pattern[found.end() :]
        return [name for each in found[1].split("|") for name in _alternatives(before + each + after)]
    return pattern.split("|")


# ── against the database ─────────────────────────────────────────────────────────────────────────────────


SQL = [
    statement.strip()
    for block in blocks(PAGE)
    if block.language == "sql"
    for statement in re.split(r"^-- \d\n", block.text, flags=re.MULTILINE)
    if statement.strip()
]


@pytest.mark.stack("full")
@pytest.mark.acceptance
@pytest.mark.parametrize("statement", SQL)
def test_statement_of_the_runbook_is_understood_by_postgresql(
    statement: str, new_database: Callable[[], str]
) -> None:
    url = new_database()
    statement = statement.replace("DATABASE relais ", f"DATABASE {url.rpartition('/')[2]} ")

    with psycopg.connect(url, autocommit=True) as connection:
        answer = connection.execute(statement)

        assert answer.fetchall() if answer.description else answer.statusmessage


def test_each_statement_that_the_page_speaks_of_stands_there() -> None:
    spoken_of = {int(number) for number in re.findall(r"\bSQL (\d)", TEXT)}
    numbered = [int(number) for number in re.findall(r"^-- (\d)$", TEXT, re.MULTILINE)]

    assert numbered == sorted(spoken_of) == list(range(1, len(SQL) + 1))


# ── everything it names exists ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", of("log"))
def test_line_of_the_log_is_one_that_is_written(command: str) -> None:
    pattern = command.removeprefix("log ").strip("'")
    for each in _alternatives(pattern):
        # A number may stand where the code has a placeholder; a field may be written as JSON.
        written = re.sub(r"-?\b\d+\b", "%d", each)
        field = re.fullmatch(r'"(\w+)": "\w*"?', each)
        said = [field[1]] if field else [each, written, each.rstrip(";"), written.rstrip(";")]
        assert any(text in SOURCE for text in said), each


SOURCE = "\n".join(
    path.read_text()
    for package in ("realtime", "accounts", "chat", "config")
    for path in Path(ROOT / package).rglob("*.py")
)


def test_every_close_code_has_a_row() -> None:
    rows = {
        int(code)
        for row in re.findall(r"^\| (\d{4}[^|]*)\|", TEXT, re.MULTILINE)
        for code in re.findall(r"\d{4}", row)
    }

    assert {int(code) for code in CloseCode} <= rows


def test_every_alert_has_a_row() -> None:
    groups = yaml.safe_load((ROOT / "docs/operations/alerts.yml").read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"]}

    assert set(re.findall(r"`(Relais[A-Z]\w+)`", TEXT)) == alerts


def test_settings_that_it_names_are_read() -> None:
    named = set(re.findall(r"`([A-Z][A-Z_]+)`", TEXT))

    assert named <= settings.env.asked_for


def test_metrics_that_it_names_exist() -> None:
    assert set(re.findall(r"`(relais_\w+)`", TEXT)) <= REGISTRY.instruments.keys()


def test_services_of_compose_that_it_names_exist() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    named = re.findall(r"docker compose (?:exec(?: -T)?|stop|start) (\w+)", TEXT)

    assert named
    assert set(named) <= services.keys()
