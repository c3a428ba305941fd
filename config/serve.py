"""The production server, `python -m config.serve`; `scripts/serve` runs it.

It opens the port and starts the workers (`config/worker.py`) that serve on it. `realtime/servers/workers.py`
keeps, replaces and stops them.
"""

import asyncio
import logging.config
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from django.conf import settings

from config.env import SettingError
from realtime.servers.port import Port
from realtime.servers.workers import Supervisor


def _worker(listener: int, line: int) -> Sequence[str]:
    # A new program, not a fork of this one: a worker started after a release runs the new code.
    return [sys.executable, "-m", "config.worker", str(listener), str(line)]


async def _serve(port: Port, workers: int) -> int:
    return await Supervisor(_worker, port, workers=workers).run()


def main() -> int:
    """Serve until SIGTERM; returns the exit status."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        logging.config.dictConfig(settings.LOGGING)
        port = _port(settings.HOST, settings.PORT)
    except SettingError as problem:
        sys.exit(f"Relais cannot start. {problem}")
    with port, _scoreboard() as directory:
        os.environ["METRICS_DIR"] = directory
        return asyncio.run(_serve(port, settings.WORKERS))


def _scoreboard() -> AbstractContextManager[str]:
    """The directory in which the workers share their instruments (`realtime/metrics/scoreboard.py`)."""
    if settings.METRICS_DIR:
        return nullcontext(settings.METRICS_DIR)
    return tempfile.TemporaryDirectory(prefix="relais-metrics-")


def _port(host: str, number: int) -> Port:
    try:
        return Port(host, number)
    except OSError as problem:
        raise SettingError(f"HOST is {host!r} and PORT is {number}: {problem.strerror}.") from None


if __name__ == "__main__":
    sys.exit(main())
