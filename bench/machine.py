"""The machine: its cores and who uses them, what a process uses (from /proc), and its description."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import resource
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROC = Path("/proc")
PACKAGES = (
    "django",
    "channels",
    "channels-redis",
    "daphne",
    "twisted",
    "autobahn",
    "uvicorn",
    "uvloop",
    "websockets",
)


@dataclass(frozen=True)
class Cores:
    """The cores of each program. With one core, all share it, and the report says so."""

    server: tuple[int, ...]
    generator: tuple[int, ...]
    #: For Redis and PostgreSQL: beside the generator, so that the server's core is its own; apart if
    #: possible.
    services: tuple[int, ...]

    @classmethod
    def of_this_machine(cls) -> Cores:
        """Core 0 for the server, core 1 for the generator, and the rest for Redis and PostgreSQL."""
        cores = tuple(sorted(os.sched_getaffinity(0)))
        if len(cores) < 2:
            return cls((), (), ())
        return cls(cores[:1], cores[1:2], cores[2:] or cores[1:2])

    def __str__(self) -> str:
        if not self.server:
            return "none: one core for everything"
        return (
            f"server on core {self.server[0]}, generator on {self.generator[0]}, Redis and PostgreSQL on "
            + (", ".join(map(str, self.services)))
        )


@contextlib.contextmanager
def pinned(cores: Sequence[int]) -> Iterator[None]:
    """Processes started inside run on these cores, with all their threads; without cores, anywhere."""
    before = os.sched_getaffinity(0)
    if cores:
        os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def pin(pid: int, cores: Sequence[int]) -> None:
    """Move a process, its threads and its descendants to these cores."""
    for each in family(pid):
        for task in (PROC / str(each) / "task").glob("*"):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(task.name), cores)


def allow_many_files() -> int:
    """Raise the limit of open files for this process and its children as far as it goes; the new limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


# ── what a process uses ──────────────────────────────────────────────────────────────────────────────────


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for task in (PROC / str(pid) / "task").glob("*"):
        with contextlib.suppress(OSError):
            for child in (task / "children").read_text().split():
                found += family(int(child))
    return found


def cpu_seconds(pid: int) -> float:
    """CPU seconds that a process and its living descendants have used."""
    return sum(map(_cpu_seconds, family(pid)))


def _cpu_seconds(pid: int) -> float:
    try:
        # Linux's number of a process's CPU clock (clock_getcpuclockid); /proc counts in ticks of 10 ms.
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:  # the process has ended
        return 0.0


@dataclass(frozen=True)
class Memory:
    """Bytes of user-space memory: those of the process alone, and all that are resident."""

    unique: int
    resident: int


def memory(pid: int) -> Memory:
    """The memory of a process and its descendants."""
    unique = resident = 0
    for member in family(pid):
        text = (PROC / str(member) / "smaps_rollup").read_text()
        fields = {
            name: int(size) * 1024 for name, size in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)
        }
        unique += fields["Private_Clean"] + fields["Private_Dirty"]
        resident += fields["Rss"]
    return Memory(unique, resident)


def peak_memory(pid: int) -> int:
    """The most bytes that a process has held since its start, or since `forget_peak`."""
    text = (PROC / str(pid) / "status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB", text, re.MULTILINE)
    assert found is not None, "a process that lives"
    return int(found[1]) * 1024


def forget_peak(pid: int) -> None:
    """Start the peak of a process's memory again from what it holds now."""
    (PROC / str(pid) / "clear_refs").write_text("5")


def descriptors(pid: int | str = "self") -> int:
    """The number of files and sockets that a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


# ── what the report says ─────────────────────────────────────────────────────────────────────────────────


def model() -> str:
    """The processor's name."""
    with contextlib.suppress(OSError):
        found = re.search(r"^model name\s*:\s*(.+)$", (PROC / "cpuinfo").read_text(), re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.machine()


def slug() -> str:
    """A name for files: the number of cores and the processor, but never the host."""
    words = re.sub(r"\(.*?\)|@.*|\bCPU\b|\bprocessor\b", " ", model(), flags=re.IGNORECASE)
    name = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
    return f"{len(os.sched_getaffinity(0))}-core-{name}"[:60].rstrip("-")


def revision(tree: Path = ROOT) -> str:
    """The commit of a checkout, and whether it has changes."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=tree, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = git("rev-parse", "--short", "HEAD") or "no commit yet"
    return f"{commit}, with changes" if git("status", "--porcelain", "--untracked-files=no") else commit


def description(cores: Cores) -> dict[str, str]:
    """Everything a reader needs in order to judge or repeat a measurement."""
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = [f"{name} {metadata.version(name)}" for name in PACKAGES]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "revision": revision(),
        "machine": f"{model()}, {len(os.sched_getaffinity(0))} cores, {gigabytes:.0f} GB",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": ", ".join(versions),
        "pinning": str(cores),
        "load before": ", ".join(f"{value:.1f}" for value in os.getloadavg()),
        "limits": "every LIMIT_… is off: the load comes from one address, and from a few speakers",
    }
