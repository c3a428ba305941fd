"""Adds up the reports of several pytest runs: `python -m tests.summary small.xml full.xml`.

The exit code is 0 only when every run is there, no test in them failed or was skipped, and each frame of the
contract was told in one of them, as the `frames-*.json` beside the reports say.
"""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree as ET


def main(reports: list[Path]) -> int:
    """Print one line, alone: how many passed, how many failed."""
    passed = failed = skipped = missing = 0
    for report in reports:
        if not report.exists():
            missing += 1
            continue
        for suite in ET.parse(report).getroot().iter("testsuite"):
            bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            idle = int(suite.get("skipped", 0))
            passed += int(suite.get("tests", 0)) - bad - idle
            failed += bad
            skipped += idle
    untold = untold_frames({report.parent for report in reports})
    if untold:
        print(f"frames of the contract that no test was told: {', '.join(untold)}")
    if skipped:
        print(f"{skipped} skipped, counted as failed: what a test needs is brought, not done without")
    if missing:
        print(f"{missing} of {len(reports)} runs left no report")
    print(f"{passed} passed, {failed + skipped} failed")
    return 1 if failed or skipped or missing or untold or not passed else 0


def untold_frames(directories: set[Path]) -> list[str]:
    """The frames that the contract has and no process of the runs has seen."""
    found = [json.loads(file.read_text()) for where in directories for file in where.glob("frames-*.json")]
    known = {tuple(frame) for each in found for frame in each["known"]}
    seen = {tuple(frame) for each in found for frame in each["seen"]}
    return [".".join(frame) for frame in sorted(known - seen)]


if __name__ == "__main__":
    sys.exit(main([Path(name) for name in sys.argv[1:]]))
