"""The commands and snippets in the documents, as they are printed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.servers import ROOT

#: Decisions and reports are left out: they tell what was done once, and nobody is asked to do it again.
_PAST = re.compile(r"docs/(adr/|proof/\d{4}-)|bench/results/")
_FENCE = re.compile(r"\s*```(\w*)")
_SHELLS = {"bash", "console", "sh", "shell"}


@dataclass(frozen=True)
class Block:
    """Lines that stand together in a document, and that a reader copies at once."""

    document: str
    line: int
    #: The language of a fence; `shell` for a block that is merely indented.
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def documents() -> list[Path]:
    """The documents for readers who want to do something."""
    found = [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("bench/*.md"),
        *ROOT.glob("scripts/*.md"),
    ]
    return sorted(path for path in found if not _PAST.search(path.relative_to(ROOT).as_posix()))


def blocks(document: str | None = None) -> list[Block]:
    """Every block of one document, or of all."""
    paths = documents() if document is None else [ROOT / document]
    return [block for path in paths for block in _blocks(path)]


def shell_blocks(document: str | None = None) -> list[Block]:
    """The blocks that are typed into a terminal."""
    return [block for block in blocks(document) if block.language in _SHELLS]


def commands(block: Block) -> list[str]:
    """The commands of a block, without comments and prompts; a command that spans several lines is one."""
    if re.search(r"^(for|while|if) ", block.text, re.MULTILINE):
        return [block.text]
    joined = re.sub(r"\\\n\s*", "", block.text)
    lines = (re.sub(r"\s+#\s.*$", "", line).removeprefix("$ ") for line in joined.splitlines())
    return [line for line in lines if line.strip()]


def _blocks(path: Path) -> Iterator[Block]:
    name, lines = path.relative_to(ROOT).as_posix(), path.read_text().splitlines()
    fence, start, kept = "", 0, list[str]()
    is_open = in_list = False
    for number, line in enumerate([*lines, ""], start=1):
        if (found := _FENCE.match(line)) is not None:
            if is_open:
                yield Block(name, start, fence, _dedent(kept))
            is_open, fence, start, kept = not is_open, found[1] or "text", number + 1, []
        elif is_open:
            kept.append(line)
        elif line.startswith("    ") and not in_list and (kept or not lines[number - 2].strip()):
            start = start if kept else number
            kept.append(line)
        elif kept:
            yield Block(name, start, "shell", _dedent(kept))
            kept = []
        if not is_open and line.strip() and not line.startswith(" "):
            # An indented line there is a paragraph of the list item.
            in_list = bool(re.match(r"([*-]|\d+\.) ", line))


def _dedent(lines: list[str]) -> str:
    least = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join(line[least:] for line in lines)
