"""The app of `docs/extending.md`, written into a fresh clone file by file as it is printed, and used."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.newcomer.conftest import clone, environment_of_a_shell
from tests.newcomer.documents import Block, blocks, commands

DOCUMENT = "docs/extending.md"
BLOCKS = blocks(DOCUMENT)
#: The time for everything that the page has typed into a terminal.
LONGEST_SECONDS = 150

_PATH = re.compile(r"# (\S+\.py)\n")


def path_of(block: Block) -> str:
    """The file that its first line names."""
    found = _PATH.match(block.text)
    assert found is not None, f"{block} does not say in its first line which file it is"
    return found[1]


def put_into(tree: Path) -> None:
    """Write every file of the page, and make its changes to files that are there."""
    for block in BLOCKS:
        if block.language == "python":
            file = tree / path_of(block)
            assert not file.exists(), f"{block} is printed twice"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text + "\n")
    for block in BLOCKS:
        if block.language == "diff":
            run(["git", "apply", "--recount", "-"], tree, block.text + "\n")


def run(command: list[str], tree: Path, text: str = "") -> str:
    environment = environment_of_a_shell(SECRET_KEY="0123456789abcdef" * 2)
    environment["PATH"] = f"{tree}/.venv/bin:{environment['PATH']}"
    done = subprocess.run(
        command,
        cwd=tree,
        env=environment,
        input=text,
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def tree() -> Iterator[Path]:
    with clone() as path:
        put_into(path)
        yield path


@pytest.mark.acceptance
@pytest.mark.stack("small")
def test_app_of_the_page_works_as_printed(tree: Path) -> None:
    typed = [command for block in BLOCKS if block.language == "console" for command in commands(block)]
    printed = sum(block.text.count("\ndef test_") + block.text.count("\nasync def test_") for block in BLOCKS)

    said = run(["bash", "-euc", "\n".join(typed)], tree)

    assert printed > 12
    assert f"{printed} passed" in said


@pytest.mark.acceptance
@pytest.mark.stack("small")
def test_app_of_the_page_keeps_the_rules_of_the_house(tree: Path) -> None:
    """The app is formatted and linted like our code, and imports nothing of the core but its door."""
    files = [path_of(block) for block in BLOCKS if block.language == "python"]
    imported = {
        name
        for file in files
        for name in re.findall(r"^ *(?:from|import) (realtime\S*)", (tree / file).read_text(), re.MULTILINE)
    }

    run(["ruff", "format", "--no-cache", "--check", *files], tree)
    run(["ruff", "check", "--no-cache", "--ignore=DJ008", *files], tree)  # a shop needs no __str__ to be read

    assert imported <= {"realtime", "realtime.testing"}
