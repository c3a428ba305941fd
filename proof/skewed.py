"""Runs a server whose wall clock follows a file: `-m proof.skewed -m daphne …`; other clocks are right.

`PROOF_CLOCK` names the file; the number in it is by how many seconds the wall clock is wrong.
"""

from __future__ import annotations

import datetime as dt
import os
import runpy
import sys
import time
from pathlib import Path
from typing import Any

_real_time, _real_datetime = time.time, dt.datetime


def _skew(file: Path) -> float:
    try:
        return float(file.read_text() or 0)
    except OSError:
        return 0.0


class _Datetime(type):
    """A type whose instances are all datetimes, also those that the database and C made."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, _real_datetime)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, _real_datetime)


def install(file: Path) -> None:
    """From here on, the wall clock is wrong by the number in the file."""

    class Skewed(_real_datetime, metaclass=_Datetime):  # type: ignore[misc,valid-type]  # known by its value
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:
            return _real_datetime.fromtimestamp(_real_time() + _skew(file), tz)

        @classmethod
        def utcnow(cls) -> dt.datetime:
            return cls.now(dt.UTC).replace(tzinfo=None)

    time.time = lambda: _real_time() + _skew(file)
    dt.datetime = Skewed  # type: ignore[misc]  # the very fault


def main() -> None:
    """Install the fault before anything is imported, then run the named program."""
    install(Path(os.environ["PROOF_CLOCK"]))
    _, module, *arguments = sys.argv[1:]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
