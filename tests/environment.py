"""The environment of tests: nobody's `.env` changes what a test means.

TEST_STACK chooses the database and the channel layer: `small` is SQLite and the memory layer, `full` is
PostgreSQL and Redis.
"""

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path

from tests import services

STACK = os.environ.setdefault("TEST_STACK", "small")
if STACK not in {"small", "full"}:
    raise ValueError(f"TEST_STACK is 'small' or 'full', not {STACK!r}")

# Variables for every test, and every server a test starts. Empty means: the default.
COMMON = {
    "ENV_FILE": os.devnull,  # a developer's .env is about their own server
    "SECRET_KEY": "only-for-tests-and-as-long-as-a-real-one-has-to-be-0123456789",
    "SECRET_KEY_FALLBACKS": "",
    "DEBUG": "0",
    "ALLOWED_HOSTS": "localhost,127.0.0.1,testserver",
    "ALLOWED_ORIGINS": "",
    "TRUSTED_PROXIES": "",
    "DEMO_ENABLED": "1",
    "DIRECTUS_ENABLED": "1",
    "SUPABASE_ENABLED": "1",
    "LANGUAGE_CODE": "en",
}


@functools.cache
def directory() -> Path:
    """A directory for this run's files, named after the process and removed when it ends."""
    parent = Path(tempfile.gettempdir())
    for left in parent.glob("relais-tests-*"):
        # Left by a run that was killed, or by mypy, which ends without cleaning up.
        pid = left.name.rpartition("-")[2]
        if pid.isdigit() and (int(pid) == os.getpid() or not _exists(int(pid))):
            shutil.rmtree(left, ignore_errors=True)
    path = parent / f"relais-tests-{os.getpid()}"
    path.mkdir(mode=0o700)
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def sqlite_file(name: str) -> Path:
    """A SQLite database in a file: WAL, locks and several connections exist only there, not in memory."""
    return directory() / f"{name}.sqlite3"


def sqlite_url(name: str) -> str:
    """The same as a DATABASE_URL."""
    return f"sqlite:///{sqlite_file(name)}"


def apply() -> None:
    """Give this process the environment of the chosen stack."""
    os.environ.update(COMMON)
    full = STACK == "full"
    os.environ["DATABASE_URL"] = services.postgres_url() if full else sqlite_url("relais")
    os.environ["REDIS_URL"] = services.redis_url() if full else ""
