"""Hostile frames from a seed, so that a failure can be sent again.

The frames are text, not Python values, because no JSON writer would write most of them.
"""

from __future__ import annotations

import json
import random
import string
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

TOO_BIG = 128 * 1024 + 1
#: The close code is 1009. There may be none: a reset of a connection with unread bytes can overtake the close
#: frame.
TOO_BIG_CODES = (1009, 1006)


class Frame(NamedTuple):
    """One message as bytes, and the close codes that may come instead of an error frame."""

    data: bytes
    is_text: bool = True
    closes_with: tuple[int, ...] = ()


#: Strings, as they are spelled in JSON.
_STRINGS = (
    '""',
    '" "',
    '"\\u0000"',
    '"a\\u0000b"',
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '"\\ud83d"',
    '"\\ud83d\\ude00"',
    '"\\u2028\\u2029\\ufeff\\uffff"',
    '"\\u202e\\u0627\\u0644"',
    '"' + "e" + "\u0301" * 500 + '"',
    '"\U0010ffff\U000e0001"',
    '"\\u001b[2J\\u0007\\u007f\\u0085"',
    '"\\/\\b\\f\\n\\r\\t\\"\\\\"',
    '"\\x41"',
    '"\\u12"',
    '"raw\ttab and\nnewline"',
    '"raw \x00 nul"',
    '"\'; DROP TABLE chat_message; --"',
    '"%s %d {} {0.__class__} ${7*7} {{7*7}}"',
    '"<script>alert(1)</script>"',
    '"../../../../etc/passwd"',
    '"__proto__"',
    '"' + "x" * 8000 + '"',
    '"' + "x" * 8001 + '"',
    '"' + "😀" * 8000 + '"',
    '"' + "x" * 100_000 + '"',
    '"018f0000-0000-7000-8000-000000000001"',
    '"018F0000000070008000000000000001"',
    '"eyJhbGciOiJub25lIn0.e30."',
)
_NUMBERS = (
    "0",
    "-0",
    "-1",
    "1",
    "1.0",
    "1e2",
    "1e400",
    "-1e400",
    "1e-400",
    "NaN",
    "Infinity",
    "-Infinity",
    "0x10",
    "01",
    "+1",
    ".5",
    "5.",
    "9007199254740992",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "9" * 400,
    "9" * 5000,
    "0." + "3" * 5000,
)
_OTHERS = (
    "null",
    "true",
    "false",
    "undefined",
    "[]",
    "{}",
    "[null]",
    '{"a":1,"a":2}',
    '{"":{"":{"":[]}}}',
    "[" * 33 + "]" * 33,
    "[" * 10_000 + "]" * 10_000,
    "[" * 10_000,
    '{"a":' * 10_000 + "1" + "}" * 10_000,
    "[" + "0," * 20_000 + "0]",
    "{" + ",".join(f'"k{n}":{n}' for n in range(3000)) + "}",
    "",
    ",",
)
_NOT_UTF8 = (
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xe2\x82",
    b"\x80abc",
    b"\xf8\x88\x80\x80\x80",
)


class Hostile:
    """An endless source of hostile frames, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def value(self, depth: int = 0) -> str:
        """Something where a JSON value should stand."""
        choose = self.random.random()
        if choose < 0.40:
            return self.random.choice(_STRINGS)
        if choose < 0.65:
            return self.random.choice(_NUMBERS)
        if choose < 0.80 or depth > 3:
            return self.random.choice(_OTHERS)
        if choose < 0.90:
            return json.dumps(self.text(), ensure_ascii=self.random.random() < 0.5)
        items = [self.value(depth + 1) for _ in range(self.random.randrange(4))]
        if choose < 0.95:
            return f"[{','.join(items)}]"
        return "{" + ",".join(f"{self.random.choice(_STRINGS)}:{item}" for item in items) + "}"

    def text(self) -> str:
        """Characters from all over Unicode, without lone surrogates."""
        points = [
            self.random.choice((self.random.randrange(32, 127), self.random.randrange(0xE000, 0x110000)))
            if self.random.random() < 0.8
            else self.random.randrange(0xD800)
            for _ in range(self.random.randrange(60))
        ]
        return "".join(map(chr, points))

    def frame(self, asked: Mapping[str, Any]) -> Frame:
        """A message made from a command that would be obeyed."""
        spoil = self.random.choice(
            (
                self._with_a_hostile_field,
                self._with_a_hostile_field,
                self._with_a_field_more,
                self._with_a_field_less,
                self._with_a_field_twice,
                self._with_odd_text,
                self._torn,
                self._anything,
                self._binary,
            )
        )
        made = spoil(asked)
        return made._replace(closes_with=TOO_BIG_CODES) if len(made.data) >= TOO_BIG else made

    def ending(self) -> Frame:
        """A message that ends the socket by the rules of the protocol."""
        if self.random.random() < 0.5:
            return Frame(b'{"message":"' + self.random.choice(_NOT_UTF8) + b'"}', closes_with=(1007,))
        return Frame(b'{"message":"' + b"x" * TOO_BIG + b'"}', closes_with=TOO_BIG_CODES)

    def body(self, asked: Any) -> bytes:
        """A body for HTTP, made from one that would be accepted."""
        return (self.frame(asked) if isinstance(asked, dict) else self._anything({})).data

    def segment(self) -> str:
        """Something where a path has an id, percent-encoded."""
        wild = (
            "0",
            "-1",
            "1.5",
            "9" * 16,
            "9" * 400,
            "%00",
            "%ff",
            "..",
            "%2e%2e",
            "abc",
            "%D9%A3",
            "1;2",
            "None",
        )
        return self.random.choice(wild)

    def query(self) -> str:
        """A query string."""
        names = ("before", "after", "limit", "unread", "since", "v", "format", "lang", "token", "%00", "")
        values = (
            "",
            "0",
            "-1",
            "1",
            "200",
            "201",
            "9" * 30,
            "%00",
            "%ff",
            "%ED%A0%80",
            "NaN",
            "1e3",
            "true",
            "[]",
            "٣",
        )
        pairs = [
            f"{self.random.choice(names)}={self.random.choice(values)}"
            for _ in range(self.random.randrange(4))
        ]
        return "&".join(pairs).encode("ascii", "ignore").decode()

    # --- ways to spoil a good frame -----------------------------------------------------------------

    def _with_a_hostile_field(self, asked: Mapping[str, Any]) -> Frame:
        spoilt = self.random.choice([*asked, "ref", "type"])
        return self._written(
            [(name, value) for name, value in asked.items() if name != spoilt], (spoilt, self.value())
        )

    def _with_a_field_more(self, asked: Mapping[str, Any]) -> Frame:
        name = self.random.choice(
            ("ref", "client_id", "extra", "sender_id", "seq", "conversation_id", "user", "__class__")
        )
        return self._written(list(asked.items()), (name, self.value()))

    def _with_a_field_less(self, asked: Mapping[str, Any]) -> Frame:
        missing = self.random.choice([*asked, ""])
        return self._written([(name, value) for name, value in asked.items() if name != missing])

    def _with_a_field_twice(self, asked: Mapping[str, Any]) -> Frame:
        name = self.random.choice([*asked, "type"])
        return self._written(list(asked.items()), (name, self.value()))

    def _with_odd_text(self, asked: Mapping[str, Any]) -> Frame:
        texts = [name for name, value in asked.items() if isinstance(value, str) and name != "type"]
        name = self.random.choice(texts or ["ref"])
        return self._written(
            [(key, value) for key, value in asked.items() if key != name],
            (name, json.dumps(self.text(), ensure_ascii=self.random.random() < 0.5)),
        )

    def _torn(self, asked: Mapping[str, Any]) -> Frame:
        text = json.dumps(asked)
        for _ in range(self.random.randrange(1, 4)):
            at = self.random.randrange(len(text) + 1)
            cut = self.random.randrange(3)
            text = (
                text[:at] + self.random.choice(string.printable + '{}[]":,\\é\u2028') * cut + text[at + 1 :]
            )
        return Frame(text.encode())

    def _anything(self, _asked: Mapping[str, Any]) -> Frame:
        return Frame(self.value().encode())

    def _binary(self, asked: Mapping[str, Any]) -> Frame:
        data = json.dumps(asked).encode() if self.random.random() < 0.5 else self.random.randbytes(40)
        return Frame(data, is_text=False)

    def _written(self, fields: Sequence[tuple[str, Any]], *raw: tuple[str, str]) -> Frame:
        parts = [f"{json.dumps(name)}:{json.dumps(value)}" for name, value in fields]
        parts += [f"{json.dumps(name)}:{text}" for name, text in raw]
        self.random.shuffle(parts)
        return Frame(("{" + ",".join(parts) + "}").encode())
