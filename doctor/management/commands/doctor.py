"""The command `manage.py doctor`: runs the examinations beside the server and prints what they find."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from doctor.examinations import Examination, Finding, registered

#: Findings of one examination that are printed for people; the rest are only counted. `--json` prints all.
SHOWN = 20
FOUND, COULD_NOT_RUN = 1, 2


class Command(BaseCommand):
    help = (
        "Prove again what must hold of the stored data. Only reads, and may run beside the server. "
        "Exit status: 0 nothing was found, 1 something was, 2 an examination could not run."
    )
    # A deployment that a system check refuses may be the very one that needs the doctor.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        names = [each.name for each in registered()]
        parser.add_argument("--list", action="store_true", help="say what would be examined, and stop")
        parser.add_argument(
            "--only", nargs="+", choices=names, default=names, metavar="NAME", help="examine these"
        )
        parser.add_argument("--json", action="store_true", help="a line of JSON per finding and examination")

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = [each for each in registered() if each.name in options["only"]]
        if options["list"]:
            for each in chosen:
                self.stdout.write(f"{each.name}\n    {each.promise}\n")
            return
        report = _Lines(self) if options["json"] else _Prose(self)
        status = 0
        for each in chosen:
            status = max(status, self._examine(each, report, raise_errors=options["traceback"]))
        if status:
            sys.exit(status)

    def _examine(self, each: Examination, report: _Report, *, raise_errors: bool) -> int:
        started, count = time.monotonic(), 0
        try:
            for count, finding in enumerate(each.findings(), 1):
                report.found(each, finding, count)
        except Exception as error:
            if raise_errors:
                raise
            # Only the error's name: its message may quote a row. --traceback shows everything.
            report.could_not_run(each, type(error).__name__)
            return COULD_NOT_RUN
        report.examined(each, count, time.monotonic() - started)
        return FOUND if count else 0


class _Report:
    """The base of reports: writes the progress and the results of examinations."""

    def __init__(self, command: BaseCommand) -> None:
        self.write = command.stdout.write
        self.style = command.style

    def found(self, each: Examination, finding: Finding, number: int) -> None:
        raise NotImplementedError

    def could_not_run(self, each: Examination, reason: str) -> None:
        raise NotImplementedError

    def examined(self, each: Examination, count: int, seconds: float) -> None:
        raise NotImplementedError


class _Prose(_Report):
    """The report in prose, for people."""

    def found(self, each: Examination, finding: Finding, number: int) -> None:
        if number <= SHOWN:
            where = " ".join(f"{name}={value}" for name, value in finding.where.items())
            told = f"{where}: {finding.what}. Expected: {finding.expected}. Found: {finding.found}."
            self.write(f"{self.style.ERROR(each.name)}  {told}")

    def could_not_run(self, each: Examination, reason: str) -> None:
        self.write(f"{self.style.ERROR(each.name)}  could not run: {reason}")

    def examined(self, each: Examination, count: int, seconds: float) -> None:
        if not count:
            self.write(f"{self.style.SUCCESS('ok')}  {each.name}  {seconds:.1f} s")
            return
        if count > SHOWN:
            self.write(f"{each.name}  … and {count - SHOWN} more")
        self.write(f"    What to do: {each.remedy}")


class _Lines(_Report):
    """The report in lines of JSON, for programs, with `examination`, and `what`, `error` or `findings`."""

    def found(self, each: Examination, finding: Finding, number: int) -> None:
        self._line(
            examination=each.name,
            what=finding.what,
            where=dict(finding.where),
            expected=finding.expected,
            found=finding.found,
            remedy=each.remedy,
        )

    def could_not_run(self, each: Examination, reason: str) -> None:
        self._line(examination=each.name, error=reason)

    def examined(self, each: Examination, count: int, seconds: float) -> None:
        self._line(examination=each.name, findings=count, seconds=round(seconds, 3))

    def _line(self, **members: Any) -> None:
        self.write(json.dumps(members, ensure_ascii=False))
