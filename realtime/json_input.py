"""Safe reading of frames: JSON with limits, and text that can be stored and read back."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from realtime.defaults import conf
from realtime.errors import InvalidFrameError, InvalidJsonError, InvalidTextError
from realtime.fields import CONTROLS, MAX_INTEGER, MAX_REF_LENGTH, Ref

Command = TypeVar("Command", bound=msgspec.Struct)

_decoder = msgspec.json.Decoder()
# Controls, and lone surrogates.
_FORBIDDEN = re.compile(f"[{CONTROLS}\ud800-\udfff]")


def parse_json(text: str | bytes) -> dict[str, Any]:
    """Parse a frame as a JSON object; anything else is an InvalidJsonError."""
    try:
        value = _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidJsonError from error
    if not isinstance(value, dict):
        raise InvalidJsonError
    # Nesting costs a bracket; most frames have so few that their depth need not be measured.
    brackets = (
        text.count(b"{") + text.count(b"[") if isinstance(text, bytes) else text.count("{") + text.count("[")
    )
    if brackets > conf.max_depth and _depth(value) > conf.max_depth:
        raise InvalidJsonError("The frame is nested too deeply.")
    return value


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        level = [
            child
            for node in level
            if isinstance(node, (dict, list))
            for child in (node.values() if isinstance(node, dict) else node)
        ]
    return deepest


def ref_of(frame: dict[str, Any], field: str = "ref") -> Ref:
    """The ref that a client gave; one that could not be sent back is an InvalidFrameError."""
    ref = frame.get(field)
    if ref is None:
        return None
    if isinstance(ref, str) and len(ref) <= MAX_REF_LENGTH and not _FORBIDDEN.search(ref):
        return ref
    if isinstance(ref, int) and not isinstance(ref, bool) and abs(ref) <= MAX_INTEGER:
        return ref
    raise InvalidFrameError(
        f"The {field} is neither an integer below 2⁵³ nor a text of up to {MAX_REF_LENGTH}."
    )


def id_in(text: str) -> int | None:
    """The id that a text names; None where it cannot be one."""
    if text.isascii() and text.isdigit() and len(text) < 17 and 0 < int(text) <= MAX_INTEGER:
        return int(text)
    return None


def command(frame: dict[str, Any], kind: type[Command]) -> Command:
    """Read a frame as a typed command; the InvalidFrameError names the field that does not fit."""
    try:
        return msgspec.convert(frame, kind)
    except (msgspec.MsgspecError, OverflowError) as error:
        raise InvalidFrameError(f"The frame is not valid: {error}") from error


def clean_text(value: object, *, max_length: int) -> str:
    """Check a text that is to be stored: no character that a database or a JSON reader refuses."""
    if not isinstance(value, str):
        raise InvalidFrameError("The frame is not valid: expected text.")
    if len(value) > max_length:
        raise InvalidTextError(f"The text is longer than {max_length} characters.")
    if _FORBIDDEN.search(value):
        raise InvalidTextError
    return value
