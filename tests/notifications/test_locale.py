"""The translations are complete in both languages, and compiled, because a build has no gettext."""

from __future__ import annotations

import gettext
import re
from pathlib import Path

import pytest

import notifications

LOCALE = Path(notifications.__file__).parent / "locale"


def catalogue(language: str) -> dict[str, str]:
    """The entries of a .po file, without its header."""
    text = (LOCALE / language / "LC_MESSAGES" / "django.po").read_text()
    return dict(re.findall(r'^msgid "(.+)"\nmsgstr "(.*)"$', text, re.MULTILINE))


@pytest.mark.parametrize("language", ["en", "fr"])
def test_compiled_catalogue_says_what_the_written_one_does(language: str) -> None:
    with (LOCALE / language / "LC_MESSAGES" / "django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)

    entries = catalogue(language)
    assert len(entries) > 10
    assert {msgid: compiled.gettext(msgid) for msgid in entries} == entries


def test_both_languages_are_complete() -> None:
    english, french = catalogue("en"), catalogue("fr")

    assert english.keys() == french.keys()
    assert all(french.values())
    assert all(msgid == msgstr for msgid, msgstr in english.items())


def test_every_text_in_the_code_has_an_entry() -> None:
    code = "".join(path.read_text() for path in LOCALE.parent.glob("*.py"))

    used = set(
        re.findall(r'\b_\("(.+?)"\)', code.replace(LOCALE.parent.joinpath("kinds.py").read_text(), ""))
    )
    assert used == catalogue("en").keys()
