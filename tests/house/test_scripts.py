"""The scripts refuse what cannot work, and the locks hold what the .in files ask for."""

import os
import re
import socket
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from tests.servers import ROOT

pytestmark = pytest.mark.stack("small")

LOCKS = ("requirements.txt", "requirements-dev.txt")
SECRET_KEY = "for-the-scripts-under-test-0123456789-0123456789"


def run(script: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "ENV_FILE": os.devnull, "SECRET_KEY": SECRET_KEY, **settings}
    return subprocess.run(
        [ROOT / "scripts" / script], env=environment, capture_output=True, text=True, timeout=30, check=False
    )


def pinned(lock: str) -> dict[str, list[Version]]:
    """The versions in a lock, by canonical name; several where they differ by platform."""
    versions: dict[str, list[Version]] = {}
    for name, version in re.findall(r"^([a-z0-9._-]+)==([^ \\]+)", (ROOT / lock).read_text(), re.MULTILINE):
        versions.setdefault(name, []).append(Version(version))
    return versions


def asked_for(source: str) -> list[Requirement]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / source).read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


# ── scripts/serve ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.acceptance
def test_serve_refuses_several_workers_without_redis():
    refused = run("serve", WORKERS="2")
    assert refused.returncode != 0
    assert "WORKERS" in refused.stderr
    assert "REDIS_URL" in refused.stderr


@pytest.mark.acceptance
def test_serve_refuses_a_port_in_use_also_one_that_is_shared():
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        refused = run("serve", HOST="127.0.0.1", PORT=str(port))
    assert refused.returncode == 1
    assert refused.stderr == (
        f"Relais cannot start. HOST is '127.0.0.1' and PORT is {port}: Address already in use.\n"
    )


@pytest.mark.acceptance
def test_serve_names_the_host_it_cannot_find():
    refused = run("serve", HOST="nowhere.invalid")
    assert refused.returncode == 1
    assert "HOST is 'nowhere.invalid'" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.acceptance
@pytest.mark.parametrize(
    ("name", "value"), [("SERVER", "gunicorn"), ("WORKERS", "many"), ("WORKERS", "0"), ("PORT", "http")]
)
def test_serve_names_the_setting_it_does_not_understand(name, value):
    refused = run("serve", **{name: value})
    assert refused.returncode != 0
    assert name in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.acceptance
def test_serve_does_not_start_without_a_secret():
    refused = run("serve", SECRET_KEY="")
    assert refused.returncode != 0
    assert "SECRET_KEY" in refused.stderr


SCRIPTS = ["dev", "test", "check", "fix", "serve", "bench", "chaos", "mutants", "lock", "../.ci/run"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_is_executable_and_well_formed(script):
    path = ROOT / "scripts" / script
    assert os.access(path, os.X_OK)
    subprocess.run(["bash", "-n", path], check=True)


def test_python_that_is_too_old_is_refused_by_name(tmp_path):
    for name in ("python3.11", "python3.12", "python3.13", "python3.14", "python3", "python"):
        old = tmp_path / name
        old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2" && exit 0\nexit 1\n')
        old.chmod(0o755)
    command = f"source scripts/env.sh; PATH={tmp_path}:$PATH find_python"
    refused = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "Relais needs Python 3.11 or newer; PATH has Python 3.9.2" in refused.stderr


# ── the locks ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("source", "lock"),
    [
        ("requirements.in", "requirements.txt"),
        ("requirements.in", LOCKS[1]),
        ("requirements-dev.in", LOCKS[1]),
    ],
)
def test_lock_holds_what_is_asked_for(source, lock):
    versions = pinned(lock)
    for requirement in asked_for(source):
        name = requirement.name.lower().replace("_", "-")
        assert name in versions, f"{requirement} is not in {lock}: run scripts/lock"
        assert all(version in requirement.specifier for version in versions[name]), (
            f"{requirement}: run scripts/lock"
        )


def test_the_two_locks_agree():
    development = pinned("requirements-dev.txt")
    for name, versions in pinned("requirements.txt").items():
        assert development[name] == versions


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_has_hashes_for_everything_and_names_no_machine(lock):
    text = (ROOT / lock).read_text()
    entries = re.split(r"\n(?=[a-z0-9])", text)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"https?://|file:|index-url|find-links|^[^#]*\s/", text, re.MULTILINE)


def test_npm_lock_has_hashes_and_names_no_registry():
    text = (Path(__file__).parent.parent / "node" / "package-lock.json").read_text()
    assert "resolved" not in text
    assert '"integrity"' in text


#: The first versions without a known hole; a package that we do not use today may come in through another.
REPAIRED_IN = {
    "daphne": (
        "4.2.2",
        "CVE-2026-44545: no limit on messages; CVE-2026-44546: headers smuggled into the scope",
    ),
    "pyjwt": (
        "2.15",
        "CVE-2022-29217, CVE-2024-53861, CVE-2026-32597, CVE-2026-48523, and what 2.14 and 2.15 repair",
    ),
    "redis": ("4.5.4", "CVE-2023-28858, CVE-2023-28859: answers of one request given to another"),
    "websockets": ("5.0", "CVE-2018-1000518: a small message inflated without an end"),
}
#: Bounds with a reason of ours.
BOUNDS = {
    "daphne": ">=4.2.3",  # our adapter was written against this version's source
    "redis": "<8",  # 8 times idle sockets out after 5 s
    "uvicorn": ">=0.53",  # older ones have no flow control for writes, so a slow reader's frames pile up
}


@pytest.mark.parametrize("lock", LOCKS)
def test_versions_with_known_holes_stay_out(lock):
    versions = pinned(lock)
    for name, (repaired, advisories) in REPAIRED_IN.items():
        assert all(version >= Version(repaired) for version in versions[name]), f"{name}: {advisories}"
    for name, bound in BOUNDS.items():
        assert all(version in SpecifierSet(bound) for version in versions[name]), f"{name}{bound}"


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_holds_finished_versions_only(lock):
    assert not [
        name for name, found in pinned(lock).items() if any(version.is_prerelease for version in found)
    ]
