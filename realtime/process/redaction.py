"""Redaction: takes secrets out of log lines: tokens, tickets, keys and passwords."""

from __future__ import annotations

import logging
import re

import structlog

_HIDDEN = "[redacted]"
#: Names whose values are secrets, in a query string or in JSON.
_NAMES = "access_token|refresh_token|token|ticket|apikey|api_key|password|secret|refresh"
_EACH_NAME = tuple(_NAMES.split("|"))


def _encoded(text: str) -> str:
    """A pattern of `text` in which any character may be percent-encoded, once or several times."""
    return "".join(
        char if char == "|" else f"(?:{char}|%(?:25)*(?:{ord(char):02x}|{ord(char.upper()):02x}))"
        for char in text
    )


#: ?%74oken=…, also in an address that is the parameter of another; used where the text has a percent sign.
_ENCODED = re.compile(
    rf"({_encoded(_NAMES)})((?:[+\[\]]|%(?:25)*(?:20|2b|5b|5d))*{_encoded('=')})(?:(?!{_encoded('&')})[^&\s\"'<>\\;,)])+",
    re.IGNORECASE,
)
#: Each kind of secret: lower-case words, one of which its text holds; its pattern; the replacement.
#: Most lines hold no such word, and looking for one takes a hundredth of a pattern's time. A pattern's time
#: grows with the text and not with its square, since anybody may send 32 KB of anything.
_SECRETS: tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...] = (
    # ?token=…
    (
        _EACH_NAME,
        re.compile(rf"({_NAMES})([+\[\]]*=)[^&\s\"'<>\\;,)]+", re.IGNORECASE),
        rf"\1\2{_HIDDEN}",
    ),
    # Authorization: Bearer …, and the subprotocol bearer.…
    (
        ("bearer",),
        re.compile(r"\b(bearer)(\s+|\.|%20)[\w~+/=.-]+", re.IGNORECASE),
        rf"\1\2{_HIDDEN}",
    ),
    # {"refresh": "…"}, as JSON, as Python shows it, or as JSON inside of JSON.
    (
        _EACH_NAME,
        re.compile(
            rf"""(["'](?:{_NAMES})\\*["']\s*:\s*b?\\*["'])[^"'\\]+""",
            re.IGNORECASE,
        ),
        rf"\1{_HIDDEN}",
    ),
    # A JSON Web Token anywhere else; ours all begin with the same letters, which are '{"' in base64. Its head
    # is bounded, so that a search does not go on to the end of a text.
    (("eyj",), re.compile(r"\beyJ[\w-]{6,1000}\.[\w-]+(?:\.[\w-]*)?"), _HIDDEN),
    # postgres://user:password@host
    (("://",), re.compile(r"(://[^/\s:@\"']*:)[^/\s@\"']+(?=@)"), rf"\1{_HIDDEN}"),
)


def redact(text: str) -> str:
    """The text without the secrets in it."""
    if "%" in text:  # before the plain patterns, which would stop at what follows an encoded secret
        text = _ENCODED.sub(rf"\1\2{_HIDDEN}", text)
    # Beyond ASCII some letters match when case is ignored, but differ in lower case: ſ matches s.
    lower = text.lower() if text.isascii() else None
    for words, pattern, replacement in _SECRETS:
        if lower is None or any(word in lower for word in words):
            text = pattern.sub(replacement, text)
    return text


class RedactingFormatter(structlog.stdlib.ProcessorFormatter):
    """A log formatter that takes the secrets out of each finished line.

    It redacts the whole line, so that nothing escapes: not the message, its arguments, a bound field, or
    the text of an exception.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Format one record and redact its line."""
        return redact(super().format(record))
