"""The values of columns, alike whether a trigger of either database wrote them or Django read them.

A value is None, or what `Kind` says: int, float, Decimal, str, bool, an aware datetime in UTC, date, time,
UUID, bytes, or `msgspec.Raw` for JSON, whose text is kept as it is. Two are special. `EARLIEST`, `LATEST` and
`NAN` are ordered as PostgreSQL orders what Python cannot hold. `UNREADABLE` stands for what a column of this
kind cannot hold at all (SQLite stores anything anywhere): whoever compares it gets an UnreadableValueError,
so that no filter matches it and no permission grants it.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Final, NoReturn
from uuid import UUID

import msgspec


class Kind(StrEnum):
    """What a column holds."""

    INTEGER = "integer"
    NUMBER = "number"
    DECIMAL = "decimal"
    TEXT = "text"
    BOOLEAN = "boolean"
    DATETIME = "datetime"
    DATE = "date"
    TIME = "time"
    UUID = "uuid"
    JSON = "json"
    BYTES = "bytes"
    #: What filters know nothing of: only whether it is there.
    OTHER = "other"


class Extreme:
    """A value before or after every value that a filter can name."""

    __slots__ = ("name", "place")

    def __init__(self, name: str, place: tuple[float, str]) -> None:
        self.name = name
        #: Where it stands among other extremes: a year, negative before the first, and the rest of a moment.
        self.place = place

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Extreme) and self.place == other.place

    def __hash__(self) -> int:
        return hash(self.place)

    def __repr__(self) -> str:
        return self.name

    def __lt__(self, other: object) -> bool:
        return self.place < other.place if isinstance(other, Extreme) else self.place[0] < 0

    def __gt__(self, other: object) -> bool:
        return self.place > other.place if isinstance(other, Extreme) else self.place[0] > 0

    def __le__(self, other: object) -> bool:
        return not self > other

    def __ge__(self, other: object) -> bool:
        return not self < other


#: PostgreSQL's `-infinity` and `infinity`. Between them and ours are years before 1 and after 9999; the last
#: time of a day, 24:00, is LATEST as well.
EARLIEST: Final = Extreme("-infinity", (-math.inf, ""))
LATEST: Final = Extreme("infinity", (math.inf, ""))
#: Greater than every number, and equal to itself, as in PostgreSQL.
NAN: Final = Extreme("NaN", (math.inf, ""))


class UnreadableValueError(Exception):
    """A row holds something that its column's kind cannot be."""


class _Unreadable:
    """Refuses every comparison."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNREADABLE"

    def _refuse(self, *args: object) -> NoReturn:
        raise UnreadableValueError

    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = _refuse
    __hash__ = _refuse
    __getattr__ = _refuse


UNREADABLE: Final = _Unreadable()

Value = Any
#: A scalar as JSON text has it: null, true and false as they are, a number or a string as its characters.
Token = str | bool | None


# ── from a trigger ───────────────────────────────────────────────────────────────────────────────────────


def _number(token: str) -> Value:
    number = float(token)
    return number if number == number else NAN  # noqa: PLR0124 - only NaN differs from itself


def _decimal(token: str) -> Value:
    number = Decimal(token)
    return NAN if number.is_nan() else number


def _boolean(token: str) -> bool:
    return {"0": False, "1": True, "false": False, "true": True}[token]


#: What PostgreSQL can say of a date or datetime, and Python cannot hold.
_BEYOND = re.compile(r"(\d{4,})-(\d\d-\d\d.*?)( BC)?", re.ASCII)


def _beyond(token: str) -> Value:
    if token in {"infinity", "-infinity"}:
        return LATEST if token == "infinity" else EARLIEST  # noqa: S105 - no secret
    found = _BEYOND.fullmatch(token)
    if not found or (len(found[1]) == 4 and not found[3]):
        return UNREADABLE
    year = int(found[1])
    return Extreme(token, (-year if found[3] else year, found[2]))


def _datetime(token: str) -> Value:
    try:
        moment = dt.datetime.fromisoformat(token)
    except ValueError:
        return _beyond(token)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=dt.UTC)
    try:
        return moment.astimezone(dt.UTC)
    except OverflowError:
        return LATEST if moment.year > 1 else EARLIEST


def _date(token: str) -> Value:
    try:
        return dt.date.fromisoformat(token)
    except ValueError:
        return _beyond(token)


#: The end of a day, which is a time in PostgreSQL.
_END_OF_DAY = re.compile(r"24:00:00(\.0+)?")


def _time(token: str) -> Value:
    if _END_OF_DAY.fullmatch(token):
        return LATEST
    time = dt.time.fromisoformat(token)
    return time if time.tzinfo is None else UNREADABLE


def _bytes(token: str) -> bytes:
    return bytes.fromhex(token.removeprefix("\\x"))


_FROM_TEXT: dict[Kind, Callable[[str], Value]] = {
    Kind.INTEGER: int,
    Kind.NUMBER: _number,
    Kind.DECIMAL: _decimal,
    Kind.TEXT: str,
    Kind.BOOLEAN: _boolean,
    Kind.DATETIME: _datetime,
    Kind.DATE: _date,
    Kind.TIME: _time,
    Kind.UUID: UUID,
    Kind.BYTES: _bytes,
}
_STRING = msgspec.json.Decoder(str)
_WORDS: dict[bytes, Token] = {b"null": None, b"true": True, b"false": False}


def value_from_json(kind: Kind, raw: msgspec.Raw) -> Value:
    """What a trigger wrote of one column; UNREADABLE where the kind cannot be that. Never raises."""
    text = bytes(raw)
    if text == b"null":
        return None
    if kind in {Kind.JSON, Kind.OTHER}:
        return msgspec.Raw(text)
    if text[:1] in {b"{", b"["}:
        return UNREADABLE
    if text in _WORDS:
        return _WORDS[text] if kind is Kind.BOOLEAN else UNREADABLE
    token = _STRING.decode(text) if text[:1] == b'"' else text.decode()
    try:
        return _FROM_TEXT[kind](token)
    except (ValueError, KeyError, InvalidOperation):
        return UNREADABLE


def value_from_python(kind: Kind, value: Any) -> Value:
    """What Django gave for one column."""
    if value is None:
        return None
    if kind in {Kind.JSON, Kind.OTHER}:
        return msgspec.Raw(msgspec.json.encode(value))
    if kind is Kind.BYTES:
        return bytes(value)
    if kind is Kind.DATETIME:
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)
    if kind in {Kind.NUMBER, Kind.DECIMAL}:
        return NAN if value != value else value  # noqa: PLR0124 - only NaN differs from itself
    return value
