"""The scoreboard is a directory in which the workers of one service put their numbers together.

Workers share a port, so a scrape meets any one of them, which answers for all. Each worker holds a numbered
slot, locked while it lives, and writes its numbers there, every second and before it answers. The one that
answers reads all slots. The next worker in a slot goes on from the numbers of the last one, so that no
counter falls, also when a worker was killed; what that one counted in its last second is lost. Without a
directory there is one process, and no board.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

from realtime.defaults import conf
from realtime.metrics.instruments import REGISTRY, Gauge, Registry, Series
from realtime.metrics.outages import Outage
from realtime.process import background

#: Seconds between two writes to the board: how old another worker's numbers can be.
WRITE_SECONDS = 1.0

Snapshot = dict[str, Series]

#: The errors of a directory that is gone, full or damaged.
_UNUSABLE = (OSError, ValueError, msgspec.MsgspecError)

_encoder = msgspec.json.Encoder()
#: JSON has no tuples as keys: series travel as pairs.
_decoder = msgspec.json.Decoder(dict[str, list[tuple[tuple[str, ...], list[float]]]])


class Scoreboard:
    """This process's view of the board, and its own slot."""

    def __init__(self, directory: Path | None, registry: Registry = REGISTRY) -> None:
        self._directory = directory
        self._registry = registry
        self._writing = Outage("The directory of the metrics", counted_as="metrics")
        self._reading = Outage("What another worker noted for the metrics", counted_as="metrics")
        self._turn = threading.Lock()
        self._own: Snapshot = {}
        #: The counts of earlier workers in this slot.
        self._inherited: Snapshot = {}
        self.slot = 0
        self._lock_fd: int | None = None
        if directory is not None:
            with _forgiven(self._writing):
                self._take_slot(directory)

    # --- writing ------------------------------------------------------------------------------------

    def note(self) -> None:
        """Take a snapshot of the instruments; on the loop, where nothing changes meanwhile."""
        own = self._registry.snapshot()
        for name, series in self._inherited.items():
            if name in own:
                _add(own[name], series)
        self._own = own

    def write(self) -> None:
        """Write the last snapshot to the board; in any thread."""
        with self._turn:
            if self._directory is not None and self._lock_fd is not None:
                with _forgiven(self._writing):
                    text = _encoder.encode({name: list(series.items()) for name, series in self._own.items()})
                    unfinished = self._file(self.slot).with_suffix(".new")
                    unfinished.write_bytes(text)
                    unfinished.replace(self._file(self.slot))

    # --- reading ------------------------------------------------------------------------------------

    def totals(self) -> Snapshot:
        """The numbers of all workers together; in any thread."""
        self.write()
        whole: Snapshot = {name: {} for name in self._registry.instruments}
        for slot, is_alive, snapshot in self._slots():
            for name, series in snapshot.items():
                if (instrument := self._registry.instruments.get(name)) is None:
                    continue
                if not isinstance(instrument, Gauge):
                    _add(whole[name], series)
                elif is_alive:
                    _combine(whole[name], series, instrument, slot=slot, is_own=slot == self.slot)
        return whole

    def _slots(self) -> Iterator[tuple[int, bool, Snapshot]]:
        yield self.slot, True, self._own
        if self._directory is None or self._lock_fd is None:
            return
        others = [file for file in self._directory.glob("[0-9]*.json") if file != self._file(self.slot)]
        problem: Exception | None = None
        for file in sorted(others):
            try:
                slot = int(file.stem), not _is_free(file.with_suffix(".lock")), self._read(file)
            except _UNUSABLE as error:  # the other slots can still be read
                problem = error
            else:
                yield slot
        if problem is None:
            self._reading.over()
        else:
            self._reading.noticed(problem)

    # --- slots --------------------------------------------------------------------------------------

    def _take_slot(self, directory: Path) -> None:
        """Take the first slot that nobody holds, and go on from its numbers."""
        for slot in itertools.count():
            lock = _locked(directory / f"{slot}.lock")
            if lock is not None:
                self.slot, self._lock_fd = slot, lock
                break
        if self._file(self.slot).exists():
            for name, series in self._read(self._file(self.slot)).items():
                if not isinstance(self._registry.instruments.get(name), Gauge):
                    self._inherited[name] = series

    def _file(self, slot: int) -> Path:
        assert self._directory is not None
        return self._directory / f"{slot}.json"

    def _read(self, file: Path) -> Snapshot:
        return {name: dict(series) for name, series in _decoder.decode(file.read_bytes()).items()}

    def leave(self) -> None:
        """Leave the slot to the next worker."""
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None


@contextlib.contextmanager
def _forgiven(outage: Outage) -> Iterator[None]:
    """Swallow and log (once) the errors of an unusable board; the process then shows its own numbers."""
    try:
        yield
    except _UNUSABLE as error:
        outage.noticed(error)
    else:
        outage.over()


def _locked(path: Path) -> int | None:
    """A descriptor that holds a lock until it is closed or its process ends; None when another has it."""
    import fcntl  # not on Windows, where there is one process

    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def _is_free(path: Path) -> bool:
    # A worker that starts in this very moment finds the slot locked, and takes another.
    lock = _locked(path)
    if lock is not None:
        os.close(lock)
    return lock is not None


def _add(to: Series, series: Series) -> None:
    for labels, values in series.items():
        before = to.get(labels)
        # A worker of another version may have other buckets: its numbers cannot be added.
        if before is None or len(before) == len(values):
            to[labels] = values if before is None else [a + b for a, b in zip(before, values, strict=True)]


def _combine(to: Series, series: Series, gauge: Gauge, *, slot: int, is_own: bool) -> None:
    match gauge.combine:
        case "sum":
            _add(to, series)
        case "max":
            for labels, values in series.items():
                to[labels] = max(to.get(labels, values), values)
        case "worker":
            to.update({(*labels, str(slot)): values for labels, values in series.items()})
        case "own":
            if is_own:
                to.update(series)


_current: Scoreboard | None = None


def current() -> Scoreboard:
    """This process's scoreboard."""
    global _current  # noqa: PLW0603 - one per process, made on first use so that settings are known
    if _current is None:
        _current = Scoreboard(Path(conf.metrics_directory) if conf.metrics_directory else None)
    return _current


def _begin_anew() -> None:
    """Drop the slot in a forked child: it belongs to the parent."""
    global _current  # noqa: PLW0603 - as above
    if _current is not None:
        _current.leave()
    _current = None


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_begin_anew)


@background.runs_with_hub
async def keep_score() -> None:
    """Write this worker's numbers to the board every second, so that the others can answer for it."""
    if not conf.metrics_directory:
        await asyncio.Event().wait()  # one process: nobody else answers for it
    board = current()
    try:
        while True:
            board.note()
            await asyncio.to_thread(board.write)
            await asyncio.sleep(WRITE_SECONDS)
    finally:
        board.note()
        board.write()
