"""Patterns as LIKE has them: `%` is any text, `_` one character; after a backslash one stands for itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache

#: Characters of a pattern.
MAX_PATTERN = 200

#: One step of a pattern: any text, one character, or this character.
ANY_TEXT, ONE_CHARACTER = "%", "_"


def steps(pattern: str) -> Iterator[tuple[str, bool]]:
    """The characters of a pattern, and whether each stands for itself; a last backslash is a ValueError."""
    at = iter(pattern)
    for character in at:
        if character == "\\":
            following = next(at, None)
            if following is None:
                raise ValueError("a pattern that does not end with a backslash")
            yield following, True
        else:
            yield character, character not in (ANY_TEXT, ONE_CHARACTER)


@lru_cache(maxsize=256)
def matcher_of(pattern: str) -> Callable[[str], bool]:
    """Whether a text fits a pattern.

    Between two `%` there is one expression without repetition, and the first place where it fits is as good
    as any: the time is bounded by the length of the text times that of the pattern.
    """
    parts: list[list[str]] = [[]]
    for character, is_itself in steps(pattern):
        if not is_itself and character == ANY_TEXT:
            parts.append([])
        else:
            parts[-1].append(re.escape(character) if is_itself else ".")
    first, *others = [re.compile("".join(part), re.DOTALL) for part in parts]
    lengths = [len(part) for part in parts]
    if not others:
        return lambda text: first.fullmatch(text) is not None
    *middle, last = others

    def fits(text: str) -> bool:
        end = len(text) - lengths[-1]
        if lengths[0] > end or first.match(text) is None or last.fullmatch(text, end) is None:
            return False
        at = lengths[0]
        for part in middle:
            found = part.search(text, at, end)
            if found is None:
                return False
            at = found.end()
        return True

    return fits


def as_glob(pattern: str) -> str:
    """The same as SQLite's GLOB has it."""
    glob = {ANY_TEXT: "*", ONE_CHARACTER: "?"}
    return "".join(
        (f"[{character}]" if character in "*?[" else character) if is_itself else glob[character]
        for character, is_itself in steps(pattern)
    )
