"""Lookalike names: a key that is equal for names that look alike, and a check for mixed scripts.

Two names with one key are taken for each other. Case, compatibility forms and accents written in two ways
make no difference to a key, nor do letters of other scripts that look like Latin ones. An accent does.
The table has the letters that people's names are faked with, not all 6,000 of Unicode's `confusables.txt`;
what it lacks cannot be mixed into a Latin name.
"""

from __future__ import annotations

import hashlib
import unicodedata

#: Characters of a key: as many as an e-mail may have. A longer key is replaced by its digest.
MAX_KEY_CHARACTERS = 254

#: Lower-case letters, without accents, that look like Latin ones as they are or as capitals.
_LOOKALIKES = str.maketrans(
    "авеһніјкӏморсѕтухԁԛԝгпьѵү"  # Cyrillic
    "αβγεζηικμνορτυχϳ"  # Greek
    "օոսհյցզ"  # Armenian
    "ıɑɡɩ"  # Latin
    "ᴀʙᴄᴅᴇɢʜɪᴊᴋʟᴍɴᴏᴘʀᴛᴜᴠᴡʏᴢ",  # small capitals
    "abehhijklmopcstyxdqwrnbvy"  # Cyrillic
    "abyezhikmvoptuxj"  # Greek
    "onuhjgq"  # Armenian
    "iagi"  # Latin
    "abcdeghijklmnoprtuvwyz",  # small capitals
)

#: Scripts that may be mixed in one name: UTS 39, "highly restrictive".
_TOGETHER = (
    {"LATIN", "CJK", "HIRAGANA", "KATAKANA"},
    {"LATIN", "CJK", "HANGUL"},
    {"LATIN", "CJK", "BOPOMOFO"},
)


def key_of(name: str) -> str:
    """The key of a name: equal for all names that look alike; any text has one."""
    text = name.encode(errors="replace").decode().strip()
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    text = text.translate(_LOOKALIKES).replace("i\u0307", "i")  # the second is the casefold of the Turkish İ
    text = "".join(letter for letter in text if unicodedata.category(letter) not in ("Cc", "Cf"))
    text = unicodedata.normalize("NFC", text)
    return text if len(text) <= MAX_KEY_CHARACTERS else hashlib.sha256(text.encode()).hexdigest()


def mixes_scripts(name: str) -> bool:
    """Whether a name mixes letters of scripts that no language mixes."""
    scripts = {_script(letter) for letter in unicodedata.normalize("NFKC", name) if letter.isalnum()}
    scripts -= {"", "DIGIT", "MODIFIER"}
    return len(scripts) > 1 and not any(scripts <= together for together in _TOGETHER)


def _script(letter: str) -> str:
    """The script of a letter: the first word of its Unicode name; digits have their own."""
    return unicodedata.name(letter, "").replace("-", " ").partition(" ")[0]
