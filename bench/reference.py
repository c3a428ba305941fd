"""The gate of `scripts/bench --short`: ratios to the guide's server, compared with the committed ones.

Ratios, because both servers of a ratio run on the same machine: an absolute number would fail on any slower
one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

FILE = Path(__file__).parent / "reference.json"
#: Below this share of the reference, something is slower; above it, the machine may be the cause.
LEAST_SHARE = 0.5


def read(file: Path = FILE) -> dict[str, float]:
    """The committed ratios, by name; empty before any were set."""
    if not file.exists():
        return {}
    ratios: dict[str, float] = json.loads(file.read_text())["ratios"]
    return ratios


def write(ratios: Mapping[str, float], *, about: str, file: Path = FILE) -> None:
    """Store these ratios as the reference."""
    rounded = {name: round(value, 2) for name, value in sorted(ratios.items())}
    file.write_text(json.dumps({"measured": about, "ratios": rounded}, indent=2) + "\n")


def regressions(found: Mapping[str, float], reference: Mapping[str, float]) -> list[str]:
    """One sentence per ratio that is too low. A ratio that was not measured counts as too low."""
    problems = []
    for name, before in reference.items():
        now = found.get(name, 0.0)
        if now < before * LEAST_SHARE:
            problems.append(
                f"{name} is {now:.1f}×, less than half of the reference, {before:.1f}×"
                if name in found
                else f"{name} was not measured; the reference is {before:.1f}×"
            )
    return problems
