"""Upper and lower case as one, alike in Python and in both databases.

A letter is folded to its lower-case letter, one to one: É to é, Σ to σ, Я to я. What has no single lower-case
letter stays (İ), and no letter beyond ASCII becomes one of ASCII (the sign for kelvin stays). So a needle of
ASCII needs nothing but the database's `lower` for ASCII; a needle with other letters needs, besides, the few
upper-case letters that fold to its own. The database is told those, and has no say in what upper case is.
"""

from __future__ import annotations

#: Unicode has no letters with two cases from here on.
_END_OF_LETTERS = 0x20000


def _lower_of(character: str) -> str:
    lower = character.lower()
    return lower if len(lower) == 1 and (character.isascii() or not lower.isascii()) else character


_LOWER = {upper: lower for upper in map(chr, range(_END_OF_LETTERS)) if (lower := _lower_of(upper)) != upper}
_TABLE = str.maketrans(_LOWER)
#: From each lower-case letter beyond ASCII to those that fold to it.
_UPPER: dict[str, str] = {}
for _upper, _lower in _LOWER.items():
    if not _lower.isascii():
        _UPPER[_lower] = _UPPER.get(_lower, "") + _upper


def fold(text: str) -> str:
    """The text in lower case, letter by letter."""
    return text.lower() if text.isascii() else text.translate(_TABLE)


def letters_to_fold(needle: str) -> list[tuple[str, str]]:
    """(upper, lower) of the letters beyond ASCII that a database has to fold to find this needle."""
    return [(upper, lower) for lower in dict.fromkeys(needle) for upper in _UPPER.get(lower, "")]
