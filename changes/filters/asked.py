"""Values as filters name them: typed, or as text, as in a URL."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from decimal import Context, Decimal
from typing import Any
from uuid import UUID

from changes.filters.values import Kind, Value

MAX_INTEGER = 2**63 - 1
#: Digits before and after the point. PostgreSQL would take 131,072, at a price.
MAX_DECIMAL_DIGITS = 40
#: Rounds nothing; 1.0 and 1 become one value, and so do -0 and 0.
_EXACT = Context(prec=2 * MAX_DECIMAL_DIGITS)
_INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_REAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE)
#: U+0000 cannot be stored by PostgreSQL, and a lone surrogate by nobody.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


def _asked_integer(given: Any) -> int:
    if isinstance(given, str):
        given = int(given) if _INTEGER.fullmatch(given) else given
    elif isinstance(given, float) and given.is_integer():
        given = int(given)
    if type(given) is not int or not -MAX_INTEGER - 1 <= given <= MAX_INTEGER:
        raise ValueError("a whole number of 64 bits")
    return given


def _numeral(given: Any) -> str:
    text = given if isinstance(given, str) else repr(given)
    if type(given) not in {int, float, str} or not _REAL.fullmatch(text):
        raise ValueError("a number")
    return text


def _asked_number(given: Any) -> float:
    number = float(_numeral(given))
    if number in {float("inf"), float("-inf")}:
        raise ValueError("a number of 64 bits")
    return number + 0.0  # no -0.0


def _asked_decimal(given: Any) -> Decimal:
    number = Decimal(str(given) if isinstance(given, Decimal) and given.is_finite() else _numeral(given))
    _, digits, exponent = number.as_tuple()
    if max(-int(exponent), len(digits) + int(exponent)) > MAX_DECIMAL_DIGITS:
        raise ValueError(f"a number of at most {MAX_DECIMAL_DIGITS} digits before and after the point")
    return _EXACT.plus(_EXACT.normalize(number))


def _asked_text(given: Any) -> str:
    if isinstance(given, bool):
        given = "true" if given else "false"
    text = given if isinstance(given, str) else str(given)
    if not isinstance(given, str | int | float | UUID) or _NO_TEXT.search(text):
        raise ValueError("a text without U+0000")
    return text


def _asked_boolean(given: Any) -> bool:
    if isinstance(given, bool | int | str) and str(given).lower() in {"true", "false", "0", "1"}:
        return str(given).lower() in {"true", "1"}
    raise ValueError("true or false")


def _asked_datetime(given: Any) -> dt.datetime:
    try:
        moment = given if isinstance(given, dt.datetime) else dt.datetime.fromisoformat(given)
        return moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    except (ValueError, TypeError, OverflowError):
        raise ValueError("a date and time, like 2026-12-01T09:30:00Z") from None


def _asked_date(given: Any) -> dt.date:
    # Of a date with a time, the date as it is written: so does a cast in PostgreSQL.
    try:
        return given.date() if isinstance(given, dt.datetime) else dt.datetime.fromisoformat(given).date()
    except (ValueError, TypeError):
        if isinstance(given, dt.date):
            return given
        raise ValueError("a date, like 2026-12-01") from None


def _asked_time(given: Any) -> dt.time:
    try:
        time = given if isinstance(given, dt.time) else dt.time.fromisoformat(given)
    except (ValueError, TypeError):
        time = None
    if time is None or time.tzinfo is not None:
        raise ValueError("a time without a zone, like 09:30:00")
    return time


def _asked_uuid(given: Any) -> UUID:
    try:
        return given if isinstance(given, UUID) else UUID(given)
    except (ValueError, TypeError, AttributeError):
        raise ValueError("a UUID") from None


_ASKED: dict[Kind, Callable[[Any], Value]] = {
    Kind.INTEGER: _asked_integer,
    Kind.NUMBER: _asked_number,
    Kind.DECIMAL: _asked_decimal,
    Kind.TEXT: _asked_text,
    Kind.BOOLEAN: _asked_boolean,
    Kind.DATETIME: _asked_datetime,
    Kind.DATE: _asked_date,
    Kind.TIME: _asked_time,
    Kind.UUID: _asked_uuid,
}


def value_from_filter(kind: Kind, given: Any) -> Value:
    """A value that a filter names or a variable has; a ValueError says what would have been right."""
    return _ASKED[kind](given)
