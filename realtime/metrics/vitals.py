"""The vital signs of the process: how late its loop is, its memory, files, garbage and CPU time."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from realtime.metrics.instruments import Counter, Gauge, Histogram
from realtime.process import background

T = TypeVar("T")

#: Seconds between two samples of the loop's lag: ten a second cost nothing and show what people notice.
LOOK_SECONDS = 0.1
#: Samples over which the largest lag is kept: a minute, longer than the usual time between two scrapes.
LOOKS_KEPT = 600
#: Seconds for which a value that is slow to find out is kept: counting 10,000 open files takes milliseconds.
FACTS_SECONDS = 5.0

LOOP_LAG = Histogram(
    "relais_loop_lag_seconds",
    "How late the event loop came to something that was due: what every socket of the worker waited.",
    (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
LOOP_LAG_MAX = Gauge("relais_loop_lag_max_seconds", "The largest of the last minute.", combine="max")
RESIDENT = Gauge("relais_process_resident_memory_bytes", "Memory in use.", combine="worker")
OPEN_FDS = Gauge("relais_process_open_fds", "Open files: one for each socket.", combine="worker")
MAX_FDS = Gauge("relais_process_max_fds", "How many it may open.", combine="worker")
CPU = Counter("relais_process_cpu_seconds_total", "CPU time, of all workers.")
GC = Counter("relais_process_gc_collections_total", "Runs of the garbage collector.", "generation")
WORKERS = Gauge("relais_workers", "Processes that are alive.")

_lags: deque[float] = deque(maxlen=LOOKS_KEPT)


@background.runs_with_hub
async def watch_loop() -> None:
    """Sample the loop's lag: sleep again and again, and note how late the loop resumes."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LOOK_SECONDS
        await asyncio.sleep(LOOK_SECONDS)
        lag = max(0.0, loop.time() - due)
        LOOP_LAG.observe(lag)
        _lags.append(lag)


def _kept(find_out: Callable[[], T]) -> Callable[[], T]:
    """Wrap a slow function so that its result is kept for a few seconds."""
    known: list[tuple[float, T]] = []

    def fact() -> T:
        if not known or time.monotonic() - known[0][0] > FACTS_SECONDS:
            known[:] = [(time.monotonic(), find_out())]
        return known[0][1]

    return fact


def resident_bytes() -> int:
    """The resident memory of this process."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:  # not on Linux: the peak, in kilobytes or, on macOS, in bytes
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def _open_fds() -> int:
    for directory in ("/proc/self/fd", "/dev/fd"):
        if Path(directory).is_dir():
            return len(os.listdir(directory))  # noqa: PTH208 - names are enough, and there may be thousands
    return 0


LOOP_LAG_MAX.reads(lambda: max(_lags, default=0.0))
RESIDENT.reads(resident_bytes)
OPEN_FDS.reads(_kept(_open_fds))
MAX_FDS.reads(lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0])
CPU.reads(time.process_time)
GC.reads(lambda: {(str(number),): stats["collections"] for number, stats in enumerate(gc.get_stats())})
WORKERS.reads(lambda: 1)
