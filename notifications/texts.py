"""The words of a notification, in the language of its reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings
from django.utils import translation
from django.utils.translation import get_supported_language_variant

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

#: Characters of a placeholder's value: enough for a name.
MAX_VALUE_CHARACTERS = 100
MAX_TITLE_CHARACTERS = 200
MAX_MESSAGE_CHARACTERS = 1000
#: The text for a missing value, where the kind has none of its own.
NEUTRAL = "…"


class Text(NamedTuple):
    """The title and message of a notification."""

    title: str
    message: str


class _Values(dict[str, object]):
    """Fills placeholders; a missing value must not keep a notification from its reader."""

    def __init__(self, values: Mapping[str, object], neutral: Mapping[str, StrOrPromise]) -> None:
        super().__init__({name: str(value)[:MAX_VALUE_CHARACTERS] for name, value in values.items()})
        self._neutral = neutral

    def __missing__(self, name: str) -> str:
        return str(self._neutral.get(name, NEUTRAL))


def render(
    title: StrOrPromise,
    message: StrOrPromise,
    *,
    values: Mapping[str, object],
    neutral: Mapping[str, StrOrPromise],
    language: str,
) -> Text:
    """Both templates in one language, with their `%(named)s` placeholders filled."""
    filled = _Values(values, neutral)
    with translation.override(language):
        return Text(
            (str(title) % filled)[:MAX_TITLE_CHARACTERS], (str(message) % filled)[:MAX_MESSAGE_CHARACTERS]
        )


def supported_language(wanted: str) -> str:
    """The supported language nearest to the one a user chose; the server's own for "" and unknown ones."""
    try:
        return get_supported_language_variant(wanted or settings.LANGUAGE_CODE)
    except LookupError:
        return settings.LANGUAGE_CODE
