"""The command `scripts/mutants [name…]`. It names each fault that its tests let pass.

Each `*.patch` beside this file is a fault. Its first lines describe it (`Fault:`), and name the tests that
must catch it (`Caught by:`) and, where it matters, the stack (`Stack:`). A fault is caught if those tests
pass on the tree as it is, and fail, rather than do not run, with the fault in it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATCHES = Path(__file__).parent
#: Seconds of one run of the tests for one fault.
LONGEST_SECONDS = 300
#: pytest's exit codes: 0 all passed, 1 some failed; with any other the tests did not run.
PASSED, FAILED = 0, 1


@dataclass(frozen=True)
class Mutant:
    """One fault."""

    name: str
    fault: str
    caught_by: tuple[str, ...]
    stack: str
    patch: Path

    @classmethod
    def read(cls, patch: Path) -> Mutant:
        """The fault that the head of a patch describes."""
        head = patch.read_text().partition("\ndiff --git")[0]
        said = dict(re.findall(r"^(Fault|Caught by|Stack): (.+)$", head, re.MULTILINE))
        tests = tuple(said["Caught by"].split())
        return cls(patch.stem, said["Fault"], tests, said.get("Stack", "small"), patch)


def all_of_them() -> list[Mutant]:
    """All faults, sorted by name."""
    return [Mutant.read(patch) for patch in sorted(PATCHES.glob("*.patch"))]


@contextmanager
def copy_of_the_tree() -> Iterator[Path]:
    """A copy of the files that git knows, as they are now; the environment is shared."""
    directory = Path(tempfile.mkdtemp(prefix="relais-mutant-"))
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
        for name in filter(None, listed.decode().split("\0")):
            if (ROOT / name).is_file():
                (directory / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, directory / name)
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def verdict(mutant: Mutant, *, tree: Path) -> str:
    """The reason why a fault was not caught; "" if it was."""
    if not _apply(mutant, tree):
        return "the patch no longer applies: the code it breaks has changed"
    try:
        status = _test(mutant, tree)
    finally:
        _apply(mutant, tree, "--reverse")
    if status == FAILED:
        return ""
    return "NOT CAUGHT" if status == PASSED else f"its tests did not run (status {status})"


def _apply(mutant: Mutant, tree: Path, *options: str) -> bool:
    command = ["git", "apply", "--recount", *options, str(mutant.patch)]
    return subprocess.run(command, cwd=tree, capture_output=True, check=False).returncode == 0


def _test(mutant: Mutant, tree: Path) -> int | None:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *mutant.caught_by]
    environment = os.environ | {"TEST_STACK": mutant.stack, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, timeout=LONGEST_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return None
    return done.returncode


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 when every fault was caught."""
    parser = argparse.ArgumentParser(prog="scripts/mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help="of a patch; all of them otherwise")
    options = parser.parse_args(arguments)
    mutants = all_of_them()
    if unknown := set(options.names) - {mutant.name for mutant in mutants}:
        parser.error(f"no such mutant: {', '.join(sorted(unknown))}")
    chosen = [mutant for mutant in mutants if not options.names or mutant.name in options.names]
    problems = 0
    with copy_of_the_tree() as tree:
        for stack in sorted({mutant.stack for mutant in chosen}):
            tests = sorted({test for mutant in chosen if mutant.stack == stack for test in mutant.caught_by})
            print(f"── {len(tests)} tests as they are, {stack} stack", flush=True)
            healthy = Mutant("none", "", tuple(tests), stack, PATCHES)
            if _test(healthy, tree) != PASSED:
                print("They do not pass without any fault: mend that first.")
                return 1
        for mutant in chosen:
            began = time.monotonic()
            problem = verdict(mutant, tree=tree)
            problems += bool(problem)
            took = f"{time.monotonic() - began:.0f} s"
            print(f"{mutant.name}: {problem or 'caught'} ({mutant.fault}; {took})", flush=True)
    print(f"{len(chosen) - problems} passed, {problems} failed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
