"""A small interpreter of Dockerfiles, for machines without a Docker engine.

It runs the real instructions in a scratch directory: RUN by /bin/sh, COPY from a context filtered by
.dockerignore, and stages that see of each other only the files that are copied. It knows the environment in
which CMD and HEALTHCHECK run afterwards. Some things differ from Docker: the base image is this machine's
Python, the directories of `INSIDE` lie below the scratch directory instead of at the root, and the image's
user exists only as a number. An instruction or flag that it does not know is an error.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

# Absolute paths of the image, which are moved below the scratch directory wherever an instruction names them.
INSIDE = ("/app", "/data", "/opt/venv")
_INSIDE = re.compile(r"(?<![\w.-])(?:" + "|".join(INSIDE) + r")(?![\w-])")

# The environment with which the official Python images start.
BASE_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}

# A build reaches its package index the way this machine does, and finds the wheels it has already downloaded.
PASSED_TO_BUILD = (
    "HOME",
    "TMPDIR",
    "PIP_",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_",
    "REQUESTS_CA_BUNDLE",
)


@dataclass(frozen=True)
class Instruction:
    """One line of a Dockerfile, continuations joined: `COPY --from=build /app /app`."""

    word: str
    flags: dict[str, str]
    argument: str

    def command(self) -> list[str]:
        """The command to execute: the exec form as it stands, the shell form through /bin/sh."""
        if self.argument.startswith("["):
            return list(json.loads(self.argument))
        return ["/bin/sh", "-c", self.argument]


@dataclass(frozen=True)
class Stage:
    """The state of a build stage: what the instructions since FROM have set."""

    base: str
    name: str = ""
    environment: dict[str, str] = field(default_factory=lambda: dict(BASE_ENVIRONMENT))
    workdir: str = "/"
    user: str = "root"
    exposed: tuple[str, ...] = ()
    cmd: Instruction | None = None
    healthcheck: Instruction | None = None


def parse(text: str) -> list[Instruction]:
    """The instructions of a Dockerfile, without comments."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", "", "\n".join(lines))
    found = []
    for line in filter(None, (line.strip() for line in joined.split("\n"))):
        word, _, rest = line.partition(" ")
        flags, rest = _flags(rest.strip())
        found.append(Instruction(word.upper(), flags, rest))
    return found


def _flags(rest: str) -> tuple[dict[str, str], str]:
    flags = {}
    while match := re.match(r"--([a-z-]+)=(\S+)\s+", rest):
        flags[match[1]] = match[2]
        rest = rest[match.end() :]
    return flags, rest


class IgnoredPaths:
    """A .dockerignore; a directory stands for all that is in it."""

    def __init__(self, text: str) -> None:
        lines = [line.strip() for line in text.splitlines()]
        patterns = [line for line in lines if line and not line.startswith("#")]
        if any(line.startswith("!") for line in patterns):
            raise NotImplementedError("a .dockerignore that takes back what it ignored")
        self._patterns = [re.compile(_as_regex(pattern.strip("/"))) for pattern in patterns]

    def __contains__(self, path: str) -> bool:
        return any(pattern.match(path) for pattern in self._patterns)


def _as_regex(pattern: str) -> str:
    out = ""
    for part in re.findall(r"\*\*/|\*\*|\*|\?|\[[^]]*\]|[^*?\[]+", pattern):
        out += {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(
            part, part if part.startswith("[") else re.escape(part)
        )
    return out + r"(?:/|\Z)"


class Image:
    """A Dockerfile's instructions carried out below `scratch`, and then its CMD and HEALTHCHECK."""

    def __init__(self, *, context: Path, scratch: Path) -> None:
        self.context = context
        self.root = scratch / "root"
        self._scratch = scratch
        self._stages: dict[str, Path] = {}
        self._ignored = IgnoredPaths((context / ".dockerignore").read_text())
        self.stage = Stage(base="")

    def build(self) -> Stage:
        """Carry out every instruction; the last stage is the image."""
        for instruction in parse((self.context / "Dockerfile").read_text()):
            getattr(self, f"_{instruction.word.lower()}")(instruction)
        return self.stage

    # ── after the build ────────────────────────────────────────────────────────────────────────────────────

    def environment(self, **settings: str) -> dict[str, str]:
        """The environment of a process in a container: ENV and the variables of `docker run -e`, nothing of
        this machine."""
        home = {"HOME": self.inside("/data")}
        return home | {name: self.inside(value) for name, value in self.stage.environment.items()} | settings

    def inside(self, text: str) -> str:
        """The text, with the image's directories replaced by their places on this machine."""
        return _INSIDE.sub(lambda match: f"{self.root}{match[0]}", text)

    # ── the instructions ─────────────────────────────────────────────────────────────────────────────────

    def _from(self, instruction: Instruction) -> None:
        base, *alias = instruction.argument.split()
        if self.root.exists():
            # A stage starts empty. The root keeps its path, because scripts of a venv name their interpreter.
            kept = self._scratch / f"stage-{len(self._stages)}"
            self.root.rename(kept)
            self._stages[self.stage.name] = kept
        self.root.mkdir()
        self.stage = Stage(base=base, name=alias[1] if alias else "")

    def _env(self, instruction: Instruction) -> None:
        environment = dict(self.stage.environment)
        for pair in shlex.split(instruction.argument):
            name, _, value = pair.partition("=")
            environment[name] = re.sub(r"\$(\w+)", lambda match: environment.get(match[1], ""), value)
        self.stage = replace(self.stage, environment=environment)

    def _workdir(self, instruction: Instruction) -> None:
        self.stage = replace(self.stage, workdir=instruction.argument)
        Path(self.inside(instruction.argument)).mkdir(parents=True, exist_ok=True)

    def _run(self, instruction: Instruction) -> None:
        _no_flags(instruction)
        subprocess.run(
            [self.inside(word) for word in instruction.command()],
            cwd=self.inside(self.stage.workdir),
            env=self._build_environment(),
            check=True,
        )

    def _copy(self, instruction: Instruction) -> None:
        *sources, target = instruction.argument.split()
        stage = instruction.flags.get("from")
        directory = Path(self.inside(str(Path(self.stage.workdir, target))))
        for source in sources:
            if stage is not None:
                origin = self._stages[stage] / source.lstrip("/")
                # Links are enough, because a venv is thousands of files and nobody writes to either copy
                # again.
                shutil.copytree(origin, directory, symlinks=True, copy_function=os.link, dirs_exist_ok=True)
            else:
                self._copy_from_context(source, directory)

    def _user(self, instruction: Instruction) -> None:
        self.stage = replace(self.stage, user=instruction.argument)

    def _expose(self, instruction: Instruction) -> None:
        self.stage = replace(self.stage, exposed=(*self.stage.exposed, instruction.argument))

    def _cmd(self, instruction: Instruction) -> None:
        self.stage = replace(self.stage, cmd=instruction)

    def _healthcheck(self, instruction: Instruction) -> None:
        form = instruction.argument.removeprefix("CMD").strip()
        self.stage = replace(self.stage, healthcheck=replace(instruction, argument=form))

    # ── the base image and the build context ───────────────────────────────────────────────────────────────

    def _copy_from_context(self, source: str, directory: Path) -> None:
        origin = self.context / source
        if origin.is_file():
            shutil.copy2(origin, directory / origin.name)
            return
        for path in _files(origin, ignored=self._ignored, context=self.context):
            copy = directory / path.relative_to(origin)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy, follow_symlinks=False)

    def _build_environment(self) -> dict[str, str]:
        passed = {
            name: value for name, value in os.environ.items() if name.upper().startswith(PASSED_TO_BUILD)
        }
        stage = {name: self.inside(value) for name, value in self.stage.environment.items()}
        return (
            passed
            | stage
            | {"PATH": f"{stage['PATH'].removesuffix(BASE_ENVIRONMENT['PATH'])}{self._base_image()}"}
        )

    def _base_image(self) -> str:
        """A PATH whose `python` is this machine's, and on which no command changes this machine's users."""
        directory = self._scratch / "base"
        directory.mkdir(exist_ok=True)
        python = getattr(sys, "_base_executable", sys.executable)  # not that of the venv that runs the tests
        scripts = {
            "python": f'exec "{python}" "$@"',
            "useradd": f'echo "$@" >> "{self._scratch}/useradd"',
            "chown": '[ "$(id -u)" != 0 ] || exec /bin/chown "$@"',
        }
        for name, line in scripts.items():
            (directory / name).write_text(f"#!/bin/sh\n{line}\n")
            (directory / name).chmod(0o755)
        return f"{directory}:{BASE_ENVIRONMENT['PATH']}"


def _files(directory: Path, *, ignored: IgnoredPaths, context: Path) -> list[Path]:
    """The files of a directory that Docker would send, without walking through the ignored ones."""
    found = []
    for entry in sorted(directory.iterdir()):
        if entry.relative_to(context).as_posix() in ignored:
            continue
        if entry.is_dir() and not entry.is_symlink():
            found += _files(entry, ignored=ignored, context=context)
        else:
            found.append(entry)
    return found


def _no_flags(instruction: Instruction) -> None:
    if instruction.flags:
        raise NotImplementedError(f"{instruction.word} with {instruction.flags}")
