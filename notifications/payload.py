"""Checks the data of notifications: JSON that every database can store and every client can read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from notifications.errors import InvalidDataError
from realtime import MAX_INTEGER, InvalidTextError, clean_text, events

#: The data names the thing that a notification is about; a client fetches the rest. A frame holds 128 KiB.
MAX_DATA_BYTES = 16 * 1024
MAX_DATA_DEPTH = 8


def clean_data(data: object) -> dict[str, Any]:
    """A copy of the data in plain JSON values; raises InvalidDataError, which says where it is wrong."""
    if not isinstance(data, Mapping):
        raise InvalidDataError("data must be an object.")
    cleaned: dict[str, Any] = _clean(data, where="data", depth=1)
    if len(events.encode(cleaned).encode()) > MAX_DATA_BYTES:
        raise InvalidDataError(f"data is larger than {MAX_DATA_BYTES} bytes.")
    return cleaned


def _clean(value: object, *, where: str, depth: int) -> Any:
    if depth > MAX_DATA_DEPTH:
        raise InvalidDataError(f"data is nested deeper than {MAX_DATA_DEPTH} levels.")
    match value:
        case None | bool():
            return value
        case int() if abs(value) <= MAX_INTEGER:
            return int(value)
        case float() if math.isfinite(value):
            return float(value)
        case str():
            return _clean_string(value, where=where)
        case list() | tuple():
            return [
                _clean(item, where=f"{where}[{index}]", depth=depth + 1) for index, item in enumerate(value)
            ]
        case Mapping():
            return {
                _clean_name(name, where=where): _clean(item, where=f"{where}.{name}", depth=depth + 1)
                for name, item in value.items()
            }
    raise InvalidDataError(f"{where[:100]} is not a value that every JSON reader can hold.")


def _clean_name(name: object, *, where: str) -> str:
    if not isinstance(name, str):
        raise InvalidDataError(f"{where[:100]} has a member whose name is not a text.")
    return _clean_string(name, where=f"a name in {where}")


def _clean_string(text: str, *, where: str) -> str:
    try:
        return clean_text(str(text), max_length=MAX_DATA_BYTES)
    except InvalidTextError as error:
        raise InvalidDataError(
            f"{where[:100]} holds characters that cannot be stored, or too many."
        ) from error
