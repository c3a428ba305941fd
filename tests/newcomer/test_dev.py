"""`scripts/dev` in a fresh clone: the files it writes, its output, and the clients that reach it."""

import re
import socket
from pathlib import Path

import pytest

from tests.newcomer.conftest import DevServer

pytestmark = [pytest.mark.acceptance, pytest.mark.stack("small")]

#: Another address of this machine: a server that listens on every interface is reached by it, others are not.
ELSEWHERE = "127.0.0.2"


def reaches(address: str, port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(5)
        return client.connect_ex((address, port)) == 0


@pytest.mark.parametrize("server", ["daphne", "uvicorn"])
def test_listens_to_this_machine_only_unless_host_says_otherwise(fresh_tree: Path, server: str) -> None:
    with DevServer(fresh_tree, SERVER=server) as dev:
        assert reaches("127.0.0.1", dev.port)
        assert not reaches(ELSEWHERE, dev.port)

    with DevServer(fresh_tree, SERVER=server, HOST="0.0.0.0") as dev:
        assert reaches(ELSEWHERE, dev.port)


def test_host_in_the_env_file_counts_too(fresh_tree: Path) -> None:
    with DevServer(fresh_tree):
        pass  # it writes the file
    with (fresh_tree / ".env").open("a") as settings:
        settings.write("HOST=0.0.0.0\n")

    with DevServer(fresh_tree) as dev:
        assert reaches(ELSEWHERE, dev.port)


def test_writes_a_password_for_the_admin_once_and_prints_it(fresh_tree: Path) -> None:
    with DevServer(fresh_tree) as dev:
        first = dev.log()
    written = (fresh_tree / ".env").read_text()
    with DevServer(fresh_tree) as dev:
        second = dev.log()

    password = re.search(r"^DEMO_ADMIN_PASSWORD=(\S{12,})$", written, re.MULTILINE)
    assert password is not None
    assert f"http://localhost:{dev.port}/admin/  admin, password {password[1]}\n" in second
    assert f"admin, password {password[1]}\n" in first
    assert "with another password" not in first + second
    assert (fresh_tree / ".env").read_text() == written


@pytest.mark.parametrize("server", ["daphne", "uvicorn"])
def test_log_of_a_start_needs_no_explanation(fresh_tree: Path, server: str) -> None:
    with DevServer(fresh_tree, SERVER=server) as dev:
        log = dev.log()

    assert "HTTP/2" not in log
    assert not re.search(r"\[(warning|error|critical)|Traceback", log)
    assert "\x1b[" not in log, "colours in a file"
