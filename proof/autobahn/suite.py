"""Runs the testsuite itself: a program for Python 2.7, installed if such a Python is found."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

VERSION = "25.10.1"
#: Groups 12 and 13 test compression, which is never negotiated.
LEFT_OUT = ("12.*", "13.*")
#: The directory of the installation; git ignores it.
DIRECTORY = Path(__file__).resolve().parents[2] / ".autobahn"
#: All cases of one server take about a minute on a quiet core; the suite itself ends a case that hangs.
LONGEST_SECONDS = 1800
INSTALL_SECONDS = 600

#: Namespace packages need the `.pth` files beside them, which PYTHONPATH does not read.
_RUN = "import site, sys; site.addsitedir(sys.argv.pop(1)); from autobahntestsuite.wstest import run; run()"


class NoSuiteError(RuntimeError):
    """The suite cannot be installed here; the message says what was tried."""


@dataclass(frozen=True)
class Outcome:
    """The suite's result of one case."""

    case: str
    #: The results for the messages, and for the end of the connection.
    behavior: str
    closing: str
    code: int | None

    @property
    def has_passed(self) -> bool:
        """Whether the case passed. NON-STRICT conforms, if not in the best way; INFORMATIONAL always does."""
        return {self.behavior, self.closing} <= {"OK", "NON-STRICT", "INFORMATIONAL"}

    @property
    def is_strict(self) -> bool:
        return self.behavior != "NON-STRICT"


def python27() -> str:
    """A Python 2.7 that runs: from PYTHON27, PATH or pyenv; CPython or PyPy."""
    tried = []
    for candidate in _candidates():
        tried.append(candidate)
        said = _said(candidate, "-c", "import sys, pip; print('%d.%d' % sys.version_info[:2])")
        if said == "2.7":
            return candidate
    raise NoSuiteError(
        f"The suite needs a Python 2.7 with pip, and none runs here (tried: {', '.join(tried) or 'nothing'})."
        " Name one in PYTHON27."
    )


def _candidates() -> Iterator[str]:
    if named := os.environ.get("PYTHON27"):
        yield named
        return
    for name in ("python2.7", "python2", "pypy", "pypy2"):
        if found := shutil.which(name):
            yield found
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for pattern in ("2.7*", "pypy2.7*"):
        for version in sorted((pyenv / "versions").glob(pattern), reverse=True):
            yield str(version / "bin" / "python")


def _said(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def version_of(python: str) -> str:
    """The version, such as CPython 2.7.18."""
    script = "import platform as p; print(p.python_implementation() + ' ' + p.python_version())"
    return _said(python, "-c", script) or "Python 2.7"


def installed(python: str) -> Path:
    """The directory of the suite, which is installed there the first time."""
    where = DIRECTORY / f"autobahntestsuite-{VERSION}"
    if not where.exists():
        half = where.with_suffix(".half")
        shutil.rmtree(half, ignore_errors=True)
        what = f"autobahntestsuite=={VERSION}"
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run(
            [*command, "--target", str(half), what],
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
        if done.returncode:
            raise NoSuiteError(f"{what} cannot be installed:\n{done.stderr}")
        half.rename(where)
    return where


def play(
    python: str, suite: Path, *, name: str, port: int, directory: Path, cases: str = "*"
) -> list[Outcome]:
    """Play all cases against one server; the suite's pages are left in `directory`."""
    spec = directory / f"{name}.json"
    pages = directory / name
    spec.write_text(
        json.dumps(
            {
                "options": {"failByDrop": False},
                "outdir": str(pages),
                "servers": [{"agent": name, "url": f"ws://127.0.0.1:{port}/websocket"}],
                "cases": cases.split(","),
                "exclude-cases": list(LEFT_OUT),
                "exclude-agent-cases": {},
            }
        )
    )
    command = [python, "-B", "-c", _RUN, str(suite), "-m", "fuzzingclient", "-s", str(spec)]
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False
    )
    if done.returncode or not (pages / "index.json").exists():
        raise NoSuiteError(f"The suite ended with {done.returncode} against {name}:\n{done.stderr[-2000:]}")
    return outcomes((pages / "index.json").read_text())


def outcomes(index: str) -> list[Outcome]:
    """The results in the suite's own index of a run, in the order of the cases."""
    (found,) = json.loads(index).values()
    all_of_them = [
        Outcome(case, said["behavior"], said["behaviorClose"], said["remoteCloseCode"])
        for case, said in found.items()
    ]
    return sorted(all_of_them, key=lambda outcome: [int(part) for part in outcome.case.split(".")])
