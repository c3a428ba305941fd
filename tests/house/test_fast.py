"""The fast set: how a test gets into it, and what happens to one that does not belong there."""

import os
import re
import subprocess
import sys

import pytest

from tests.servers import ROOT

pytestmark = [pytest.mark.acceptance, pytest.mark.stack("small")]

SUITE = """
import subprocess, sys
import pytest
from tests.programs import chromium
from tests.services import RedisServer

def test_stays_here(): pass

def test_waits_for_a_foreign_program():
    subprocess.run(["true"], check=True)

@pytest.mark.stack("full")
def test_is_of_the_other_stack(): pass

@pytest.mark.acceptance
def test_says_so(): pass

def test_asks_for_a_server_by_its_fixtures(server): pass

def test_starts_a_server():
    with RedisServer(): pass

def test_starts_another_python():
    subprocess.run([sys.executable, "-c", ""], check=True)

def test_starts_a_browser():
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        playwright.chromium.launch(executable_path=chromium())
"""
STARTS_ONE = ["starts_a_browser", "starts_a_server", "starts_another_python"]
SAYS_SO = ["asks_for_a_server_by_its_fixtures", "says_so"]
PARTS = [["--fast"], ["--rest"], []]
STAYS = ["stays_here", "waits_for_a_foreign_program"]


def suite_of(directory, *arguments: str, **variables: str) -> str:
    """The output of pytest for these tests, with our fixtures and rules."""
    (directory / "conftest.py").write_text('pytest_plugins = ["tests.conftest"]')
    (directory / "test_toy.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), f"--rootdir={directory}"]
    options = ["-p", "no:cacheprovider", "-q", "-rA", *arguments, directory]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [*command, *options],
        cwd=ROOT,
        env=clean | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout + done.stderr


def named(output: str, outcome: str) -> list[str]:
    return sorted(re.findall(rf"^{outcome} .*::test_(\w+)", output, re.MULTILINE))


def collected(output: str) -> list[str]:
    return sorted(re.findall(r"^\S*::test_(\S+)$", output, re.MULTILINE))


def test_marked_test_that_starts_something_is_left_out_and_an_unmarked_one_fails(tmp_path):
    output = suite_of(tmp_path, "--fast")

    assert named(output, "PASSED") == STAYS, output
    assert named(output, "FAILED") == STARTS_ONE
    assert output.count("says so: @pytest.mark.acceptance") >= len(STARTS_ONE)
    assert "4 deselected" in output  # one of these is of the other stack


def test_two_parts_are_the_whole_stack_and_share_nothing(tmp_path):
    fast, rest, both = (collected(suite_of(tmp_path, "--collect-only", *part)) for part in PARTS)

    assert fast == sorted([*STAYS, *STARTS_ONE])
    assert rest == [*(f"{SAYS_SO[0]}[{kind}]" for kind in ("daphne", "uvicorn")), SAYS_SO[1]]
    assert both == sorted(fast + rest)


def test_full_stack_has_no_fast_set(tmp_path):
    assert "--fast is the small stack" in suite_of(tmp_path, "--fast", TEST_STACK="full")
