"""Fixtures for first steps: a fresh copy of the tree, and `scripts/dev` running in it."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from proof.mutants.run import copy_of_the_tree
from tests.processes import Process, accepts

#: The variables of a new machine's shell: none of this machine's settings, none that tests set.
_SHELL = ("PATH", "HOME", "LANG", "TMPDIR")


def environment_of_a_shell(**settings: str) -> dict[str, str]:
    """The environment of a terminal that has just been opened."""
    return {name: os.environ[name] for name in _SHELL if name in os.environ} | settings


class DevServer(Process):
    """`scripts/dev`, as somebody starts it who has read two lines of the README."""

    name = "dev"

    def __init__(self, tree: Path, **settings: str) -> None:
        super().__init__()
        self.working_directory = tree
        self._settings = settings

    def command(self) -> list[str]:
        return ["scripts/dev"]

    def environment(self) -> Mapping[str, str]:
        return environment_of_a_shell(PORT=str(self.port), **self._settings)

    def answers(self) -> bool:
        return accepts(self.port)


@contextmanager
def clone() -> Iterator[Path]:
    """The files of a clone, and this virtual environment: installing another would take minutes."""
    with copy_of_the_tree() as tree:
        (tree / ".venv").symlink_to(Path(sys.prefix))
        yield tree


@pytest.fixture
def fresh_tree() -> Iterator[Path]:
    with clone() as tree:
        yield tree
