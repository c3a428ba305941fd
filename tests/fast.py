"""The fast set, `scripts/test --fast`: the tests that stay in this process, on the small stack.

Nobody keeps a list. A test is left out when it is marked `acceptance`, or when one of its fixtures needs
`new_database`, which every fixture that starts a server uses. A test that is in the set and still starts
another Python, a server or a browser fails, and says what to do. A foreign program that is waited for, such
as `git` with `subprocess.run`, is allowed.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

#: The fixture at the bottom of all that start servers.
DATABASE_OF_SERVERS = "new_database"


class ProcessInFastSetError(AssertionError):
    """A test of the fast set started another Python, a server or a browser."""


def is_fast(item: pytest.Item) -> bool:
    """Whether a test belongs to the fast set, judged by its marks and fixtures."""
    needs: Sequence[str] = getattr(item, "fixturenames", ())
    return item.get_closest_marker("acceptance") is None and DATABASE_OF_SERVERS not in needs


def refuse_processes(patch: pytest.MonkeyPatch) -> None:
    """From now on allow only foreign programs, and only by `subprocess`, which waits for their end."""
    patch.setattr(subprocess, "Popen", _Foreign)


class _Foreign(subprocess.Popen[Any]):
    def __init__(self, args: Any, *more: Any, **options: Any) -> None:
        is_waited_for = sys._getframe(1).f_globals["__name__"] == "subprocess"
        program = args if isinstance(args, str | bytes | os.PathLike) else args[0]
        if not is_waited_for or os.fspath(program) == sys.executable:
            raise ProcessInFastSetError(
                f"This test is in the fast set (scripts/test --fast) and starts one:\n  {args}\n"
                "A test that needs another Python, a server or a browser says so: @pytest.mark.acceptance"
            )
        super().__init__(args, *more, **options)
