"""A topic is the name of an audience: `conversation.42`, `conversation.42.typing`, `user.7`.

Names that come from elsewhere (a table, a channel that a client chose) may hold any characters, at any
length. `foreign_topic` gives each of them a topic of its own.
"""

from __future__ import annotations

import base64
import hashlib
import re

MAX_TOPIC_LENGTH = 99  # the channel layer refuses names of groups with 100 characters
_TOPIC = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*\Z")

#: The characters that a foreign name keeps, and its escapes: `__` is an underscore, `_c3` a byte of UTF-8.
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789")
_ESCAPED = re.compile(r"__|_([0-9a-f]{2})|([a-z0-9]+)")
_EMPTY = "_"
#: In front of the hash of a name that is too long; no name that is written out contains it.
_HASHED = "_h"
#: Bytes of that hash: clients choose names, and finding two with one hash takes 2^80 attempts.
_HASH_SIZE = 20


def topic(*parts: object) -> str:
    """Join parts into a topic: dotted, lower case, ASCII."""
    name = ".".join(str(part) for part in parts)
    if len(name) > MAX_TOPIC_LENGTH or not _TOPIC.match(name):
        raise ValueError(f"{name!r} is no topic: expected dotted lower-case ASCII under 100 characters")
    return name


def user_topic(user_id: int) -> str:
    """The topic of one user, heard on all their devices: revocations, memberships, notifications."""
    return topic("user", user_id)


def foreign_topic(prefix: str, name: str) -> str:
    """The topic of a foreign name below a prefix of ours; no two names share one, nor do two prefixes.

    A name that does not fit is replaced by its hash: its caller keeps the name, if it is to be known again.
    Names are compared as they are written: two spellings of `é` are two names.
    """
    written = _written(name)
    if len(prefix) + 1 + len(written) > MAX_TOPIC_LENGTH:
        digest = hashlib.blake2b(_bytes_of(name), digest_size=_HASH_SIZE, person=b"relais.topics").digest()
        written = _HASHED + base64.b32encode(digest).decode().lower()
    return topic(prefix, written)


def foreign_name(topic: str) -> str | None:
    """The name that `foreign_topic` was given; None where the topic holds only its hash."""
    written = topic.rpartition(".")[2]
    if written.startswith(_HASHED):
        return None
    name = _read(written)
    if name is None or _written(name) != written:
        raise ValueError(f"{topic!r} was not made by foreign_topic")
    return name


def _bytes_of(name: str) -> bytes:
    # JSON can bring half of a surrogate pair, which UTF-8 proper refuses.
    return name.encode("utf-8", "surrogatepass")


def _written(name: str) -> str:
    """Write a name in letters, digits and underscores; `_read` is the inverse."""
    if not name:
        return _EMPTY
    return "".join(
        chr(byte) if byte in _PLAIN else "__" if byte == ord("_") else f"_{byte:02x}"
        for byte in _bytes_of(name)
    )


def _read(written: str) -> str | None:
    """The name that `_written` wrote so; None for a text that it never makes."""
    if written == _EMPTY:
        return ""
    found, end = bytearray(), 0
    while end < len(written):
        match = _ESCAPED.match(written, end)
        if match is None:
            return None
        byte, plain = match.groups()
        found += bytes.fromhex(byte) if byte else plain.encode() if plain else b"_"
        end = match.end()
    try:
        return found.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None
