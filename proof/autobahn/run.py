"""The command `scripts/autobahn [server…]`. It fails when a Relais server fails a case it should pass."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from bench.machine import model, revision
from proof.autobahn import suite
from proof.autobahn.servers import LARGEST, SERVERS, Running, Server
from proof.autobahn.suite import NoSuiteError, Outcome

PACKAGES = ("daphne", "autobahn", "twisted", "uvicorn", "websockets", "uvloop")
Results = Mapping[Server, Sequence[Outcome]]


def failed(server: Server, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The failed cases that a server should have passed."""
    return [each for each in outcomes if not each.has_passed and each.case not in server.by_design]


def report(results: Results, *, python: str) -> str:
    """The page of `docs/proof/` as Markdown."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    lines = [
        f"# The Autobahn testsuite, {datetime.now(UTC):%Y-%m-%d}",
        "",
        "`scripts/autobahn --report`: all cases but those of compression (12, 13), which we never negotiate.",
        f"Revision {revision()}, {model()}, autobahntestsuite {suite.VERSION} under {python}.",
        f"{versions}.",
        f"Messages of ours may have {LARGEST // 2**20} MiB (`LIMIT_FOREIGN_MESSAGE_BYTES`), as the suite's",
        "have; Daphne as it comes takes 1 MiB.",
        "",
        "| server | cases | passed | of these not strict | refused by design | failed |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for server, outcomes in results.items():
        passed = [each for each in outcomes if each.has_passed]
        bad = failed(server, outcomes)
        refused = len(outcomes) - len(passed) - len(bad)
        loose = sum(not each.is_strict for each in passed)
        lines.append(
            f"| {server.what} | {len(outcomes)} | {len(passed)} | {loose} | {refused} | {len(bad)} |"
        )
    lines += [
        "",
        "*Not strict* conforms to RFC 6455, if not as early as it could: what came before a violation in the",
        "same segment is not answered any more, or text that is no UTF-8 is found when its message is whole.",
        "*Refused by design* are 4 MiB in frames of 64 bytes: 65,537 frames, and a message may have 16,385.",
    ]
    for server, outcomes in results.items():
        if bad := failed(server, outcomes):
            said = ", ".join(f"{each.case} ({each.behavior}, closed with {each.code})" for each in bad)
            lines += ["", f"**{server.what}** failed: {said}."]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 when all Relais servers passed."""
    names = [server.name for server in SERVERS]
    parser = argparse.ArgumentParser(prog="scripts/autobahn", description=__doc__)
    parser.add_argument("servers", nargs="*", metavar="server", help=f"of {', '.join(names)}; all otherwise")
    parser.add_argument("--cases", default="*", help="such as 9.3.*,7.1.5")
    parser.add_argument("--report", type=Path, help="the page to write")
    options = parser.parse_args(arguments)
    if unknown := set(options.servers) - set(names):
        parser.error(f"no such server: {', '.join(sorted(unknown))}")
    try:
        python = suite.python27()
        where = suite.installed(python)
        results = {}
        for server in SERVERS:
            if options.servers and server.name not in options.servers:
                continue
            with tempfile.TemporaryDirectory() as directory, Running(server) as running:
                results[server] = suite.play(
                    python,
                    where,
                    name=server.name,
                    port=running.port,
                    directory=Path(directory),
                    cases=options.cases,
                )
            print(f"{server.name}: {len(failed(server, results[server]))} failed", flush=True)
    except NoSuiteError as problem:
        sys.exit(str(problem))
    page = report(results, python=suite.version_of(python))
    if options.report:
        options.report.write_text(page)
    print(page)
    ours = [server for server in results if server.by_design]
    return 1 if any(failed(server, results[server]) for server in ours) else 0


if __name__ == "__main__":
    sys.exit(main())
