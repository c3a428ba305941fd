"""Values as writers give them, in JSON, become what a column holds: the same one, or none at all.

Nothing is cut, rounded or guessed: what would not be read back as it was given is refused. A column of kind
OTHER is left to those who know more of it: the field of a model, or PostgreSQL.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any
from uuid import UUID

from changes import filters
from changes.filters.asked import MAX_DECIMAL_DIGITS, MAX_INTEGER, value_from_filter
from changes.items.errors import ProblemKind
from changes.shapes import Field, Kind

#: Levels of lists and objects in a value of JSON; the databases and their readers end somewhere above 1,000.
MAX_DEPTH = 100
#: Bits of a whole number in a value of JSON: as large as a number of 64 bits can be.
MAX_BITS = 1024
#: Why a column takes no value at all.
COMPUTED = "the database computes it"
#: Digits of a decimal that SQLite keeps.
SQLITE_DIGITS = 15

_INTEGER = re.compile(r"[+-]?\d{1,40}", re.ASCII)
_NUMERAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}", re.IGNORECASE)
_BYTES = re.compile(r"\\x(?:[0-9a-f]{2})*", re.IGNORECASE)
#: U+0000 cannot be stored by PostgreSQL, and a lone surrogate by nobody.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


class UnfitValueError(Exception):
    """The value is nothing for its column; the text says what would be right."""

    def __init__(self, what: str, kind: ProblemKind = ProblemKind.VALUE) -> None:
        self.what = what
        self.kind = kind
        super().__init__(what)


def value_for(field: Field, given: Any, *, on_sqlite: bool) -> Any:
    """What a column holds of a value that is not None; an UnfitValueError says what would be right.

    Of kind OTHER it is the value itself, if it is JSON that can be stored.
    """
    value = _READ[field.kind](field, given)
    if on_sqlite and isinstance(value, Decimal):
        _fits_sqlite(value)
    return value


def _fits_sqlite(value: Decimal) -> None:
    is_whole = value == value.to_integral_value() and abs(value) < 10**SQLITE_DIGITS
    if not is_whole and len(value.normalize().as_tuple().digits) > SQLITE_DIGITS:
        raise UnfitValueError(f"a number of at most {SQLITE_DIGITS} digits", ProblemKind.OUT_OF_RANGE)


def _integer(_field: Field, given: Any) -> int:
    is_text = isinstance(given, str) and _INTEGER.fullmatch(given)
    if is_text or (isinstance(given, float) and given.is_integer()):
        given = int(given)
    if type(given) is not int:
        raise UnfitValueError("a whole number")
    if not -MAX_INTEGER - 1 <= given <= MAX_INTEGER:
        raise UnfitValueError("a whole number of 64 bits", ProblemKind.OUT_OF_RANGE)
    return given


def _is_numeral(given: Any) -> bool:
    """Whether it is a finite number, or its text."""
    if isinstance(given, str):
        return _NUMERAL.fullmatch(given) is not None
    if isinstance(given, float | Decimal):
        return math.isfinite(given)
    return type(given) is int


def _number(_field: Field, given: Any) -> float:
    if not _is_numeral(given):
        raise UnfitValueError("a number")
    try:
        number = float(given)
    except OverflowError:
        number = math.inf
    if math.isinf(number) or (isinstance(given, int) and number != given):
        raise UnfitValueError("a number of 64 bits", ProblemKind.OUT_OF_RANGE)
    return number + 0.0  # no -0.0


def _decimal(field: Field, given: Any) -> Decimal:
    if not _is_numeral(given):
        raise UnfitValueError("a number")
    if isinstance(given, int) and given.bit_length() > MAX_BITS:  # its text would take long
        number = Decimal(10) ** (MAX_DECIMAL_DIGITS + 1)
    else:
        number = Decimal(str(given))
    _, digits, exponent = number.as_tuple()
    if max(-int(exponent), len(digits) + int(exponent)) > MAX_DECIMAL_DIGITS:
        raise UnfitValueError(
            f"a number of at most {MAX_DECIMAL_DIGITS} digits before and after the point",
            ProblemKind.OUT_OF_RANGE,
        )
    if field.places is not None and -int(number.normalize().as_tuple().exponent) > field.places:
        raise UnfitValueError(
            f"a number of at most {field.places} digits after the point", ProblemKind.OUT_OF_RANGE
        )
    return number


def _text(field: Field, given: Any) -> str:
    if not isinstance(given, str):
        raise UnfitValueError("a text")
    if _NO_TEXT.search(given):
        raise UnfitValueError("a text without U+0000 and half surrogate pairs")
    if field.longest is not None and len(given) > field.longest:
        raise UnfitValueError(f"a text of at most {field.longest} characters", ProblemKind.TOO_LONG)
    return given


def _boolean(_field: Field, given: Any) -> bool:
    if not isinstance(given, bool):
        raise UnfitValueError("true or false")
    return given


def _moment(_field: Field, given: Any) -> dt.datetime:
    return _from_text(filters.Kind.DATETIME, given, dt.datetime)


def _datetime(_field: Field, given: Any) -> dt.datetime:
    return _from_text(filters.Kind.DATETIME, given, dt.datetime).replace(tzinfo=None)


def _time(_field: Field, given: Any) -> dt.time:
    return _from_text(filters.Kind.TIME, given, dt.time)


def _from_text(kind: filters.Kind, given: Any, already: type) -> Any:
    try:
        return value_from_filter(kind, given if isinstance(given, str | already) else None)
    except ValueError as error:
        raise UnfitValueError(str(error)) from None


def _date(_field: Field, given: Any) -> dt.date:
    if type(given) is dt.date:
        return given
    try:
        if isinstance(given, str):
            return dt.date.fromisoformat(given)
    except ValueError:
        pass
    raise UnfitValueError("a date, like 2026-12-01")


def _duration(field: Field, given: Any) -> dt.timedelta:
    if isinstance(given, dt.timedelta):
        return given
    try:
        return dt.timedelta(microseconds=_integer(field, given))
    except UnfitValueError as error:
        raise UnfitValueError("a whole number of microseconds", error.kind) from None


def _uuid(_field: Field, given: Any) -> UUID:
    if isinstance(given, str) and _UUID.fullmatch(given):
        return UUID(given)
    if isinstance(given, UUID):
        return given
    raise UnfitValueError("a UUID")


def _bytes(_field: Field, given: Any) -> bytes:
    if isinstance(given, bytes):
        return given
    if isinstance(given, str) and _BYTES.fullmatch(given):
        return bytes.fromhex(given[2:])
    raise UnfitValueError(r"bytes as a text, like \x6869")


def _json(_field: Field, given: Any) -> Any:
    level, depth = [given], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise UnfitValueError(f"JSON of at most {MAX_DEPTH} levels")
        for node in level:
            _scalar(node)
        level = [child for node in level for child in _below(node)]
    return given


def _below(node: Any) -> Iterable[Any]:
    if isinstance(node, dict):
        return [*node, *node.values()]
    return node if isinstance(node, list) else ()


def _scalar(node: Any) -> None:
    if isinstance(node, str):
        if _NO_TEXT.search(node):
            raise UnfitValueError("JSON without U+0000 and half surrogate pairs")
    elif isinstance(node, int):
        if node.bit_length() > MAX_BITS:
            raise UnfitValueError(f"JSON with whole numbers of at most {MAX_BITS} bits")
    elif isinstance(node, float):
        if not math.isfinite(node):
            raise UnfitValueError("JSON, which has no such number")
    elif isinstance(node, dict):
        if not all(isinstance(name, str) for name in node):
            raise UnfitValueError("JSON, whose names are texts")
    elif node is not None and not isinstance(node, list):
        raise UnfitValueError("JSON")


_READ: dict[Kind, Callable[[Field, Any], Any]] = {
    Kind.INTEGER: _integer,
    Kind.NUMBER: _number,
    Kind.DECIMAL: _decimal,
    Kind.BOOLEAN: _boolean,
    Kind.TEXT: _text,
    Kind.MOMENT: _moment,
    Kind.DATETIME: _datetime,
    Kind.DATE: _date,
    Kind.TIME: _time,
    Kind.DURATION: _duration,
    Kind.UUID: _uuid,
    Kind.JSON: _json,
    Kind.BYTES: _bytes,
    Kind.OTHER: _json,
}


def size_of(given: Any) -> int:
    """The bytes that a value takes as JSON, roughly: a number counts as eight."""
    size, level = 0, [given]
    while level:
        size += sum(len(node.encode(errors="replace")) if isinstance(node, str) else 8 for node in level)
        level = [child for node in level for child in _below(node)]
    return size


# ── what SQLite makes of a value in a column without a model ─────────────────────────────────────────────

_LOOKS_LIKE_A_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", re.ASCII | re.IGNORECASE)


def kept_by_sqlite(field: Field, value: Any) -> Any:
    """The value as a column of JSON, or of no known kind, takes it; refused, if it would become another one.

    By the type that was declared SQLite takes texts for numbers, and what it holds as a number is shown with
    15 digits.
    """
    turns_texts = field.declared != ""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and (turns_texts or field.kind is Kind.OTHER) and not _is_short(value):
        raise UnfitValueError(f"a number of at most {SQLITE_DIGITS} digits", ProblemKind.OUT_OF_RANGE)
    if field.kind is Kind.JSON:
        return json.dumps(value)
    if isinstance(value, bool | dict | list):
        raise UnfitValueError("a text or a number")
    if turns_texts and isinstance(value, str) and _LOOKS_LIKE_A_NUMBER.fullmatch(value):
        raise UnfitValueError("a number, or a text that does not look like one")
    return value


def _is_short(value: float) -> bool:
    if isinstance(value, int):
        return abs(value) <= MAX_INTEGER
    return float(f"{value:.{SQLITE_DIGITS}g}") == value
