"""Takes a user's name out of the words and data of notifications.

It is replaced only where a name can stand: in filled placeholders of a kind, in words that a program wrote
itself, and in texts of the data. "Your payment has been processed" stays, even if a user was called
"payment".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from django.conf import settings
from django.utils import translation

from notifications import kinds

_PLACEHOLDER = re.compile(r"%\((\w+)\)s")


class Renaming:
    """Replaces former names by the present one, where a former name stands as a word of its own."""

    def __init__(self, names: list[str], present: str) -> None:
        # A neighbouring character of usernames or e-mails makes it another name; the end of a sentence does
        # not.
        any_of_them = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
        self._named = re.compile(rf"(?<![\w@+-])(?<!\w\.)(?:{any_of_them})(?![\w@+-]|\.\w)")
        self._present = present

    def value(self, value: Any) -> Any:
        """Rename in a JSON value, and in everything that it holds."""
        match value:
            case str():
                return self._named.sub(lambda _: self._present, value)
            case dict():
                return {key: self.value(held) for key, held in value.items()}
            case list():
                return [self.value(held) for held in value]
            case _:
                return value

    def words(self, kind: str, text: str) -> str:
        """Rename in a title or message of a kind."""
        for pattern in _patterns(kind):
            if found := pattern.fullmatch(text):
                pieces, end = [], 0
                for number in range(1, (pattern.groups or 0) + 1):
                    start, stop = found.span(number)
                    pieces += [text[end:start], self.value(text[start:stop])]
                    end = stop
                return "".join([*pieces, text[end:]])
        return str(self.value(text))

    def notification(self, fields: dict[str, Any], *, kind: str) -> dict[str, Any]:
        """Rename in the fields `title`, `message` and `data` of an entry, or of its event."""
        return {
            **fields,
            "title": self.words(kind, fields["title"]),
            "message": self.words(kind, fields["message"]),
            "data": self.value(fields["data"]),
        }


@cache
def _patterns(kind: str) -> list[re.Pattern[str]]:
    """The sentences of a kind in all languages as patterns; each placeholder is a group."""
    return list(_sentences(kind)) if kinds.is_registered(kind) else []


def _sentences(kind: str) -> Iterator[re.Pattern[str]]:
    known = kinds.get(kind)
    for language, _ in settings.LANGUAGES:
        with translation.override(language):
            for template in (str(known.title), str(known.message)):
                # Every second piece is the name of a placeholder.
                pieces = _PLACEHOLDER.split(template)
                literal = [re.escape(piece.replace("%%", "%")) for piece in pieces[::2]]
                yield re.compile("(.*)".join(literal), re.DOTALL)
