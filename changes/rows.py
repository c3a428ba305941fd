"""A row as JSON, written by the database: the same text for the same values, in a trigger and in a query.

| a column of | is |
| --- | --- |
| integers, numbers, booleans | what JSON has; what is no number is `"NaN"`, `"Infinity"`, `"-Infinity"` |
| decimals | a text, `"12.50"` |
| points in time | `"2026-12-01T10:30:00.123456Z"`, always with six digits; without a zone also without `Z` |
| dates, times of day | `"2026-12-01"`, `"10:30:00.000000"` |
| durations | microseconds |
| UUIDs | with hyphens, in lower case |
| JSON | itself |
| bytes | `"\\x6869"`, in lower case |
| anything else | what the database makes of it |

A value of more than LONGEST bytes is null. No expression can fail, whatever a column holds: it would fail the
write that made the trigger note it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable

import msgspec

from changes.shapes import Field, Kind, Shape, literal, quoted

#: Bytes of the longest value that is told, before it is written as JSON: no frame has room for more.
LONGEST = 1024 * 1024
#: Bytes of the longest text that SQLite makes, unless it was built with another limit.
_SQLITE_LONGEST = 1_000_000_000
#: Bytes of JSON for one byte of a text, at most: a control character is `\u0001`.
_ESCAPED = 6


# --- PostgreSQL -------------------------------------------------------------------------------------


def postgresql_columns(fields: Iterable[Field], alias: str) -> str:
    """The columns of a SELECT whose rows `row_to_json` then writes."""
    return ", ".join(
        f"{_in_postgresql(field, f'{alias}.{quoted(field.column)}')} AS {quoted(field.name)}"
        for field in fields
    )


def _in_postgresql(field: Field, value: str) -> str:
    if field.kind in _PLAIN:
        return value
    if field.kind is Kind.DECIMAL:
        return f"{value}::text"
    if field.kind is Kind.MOMENT:
        return _moment(f"({value} AT TIME ZONE 'UTC')", value, "Z")
    if field.kind is Kind.DATETIME:
        return _moment(value, value, "")
    if field.kind is Kind.TIME:
        return f"to_char({value}, 'HH24:MI:SS.US')"
    if field.kind is Kind.DURATION:
        return f"CASE WHEN isfinite({value}) THEN (extract(epoch FROM {value}) * 1000000)::bigint END"
    # The size as it is stored, compressed perhaps: what it takes to read it is bounded as well.
    return f"CASE WHEN pg_column_size({value}) <= {LONGEST} THEN {value} END"


_PLAIN = {Kind.INTEGER, Kind.NUMBER, Kind.BOOLEAN, Kind.DATE, Kind.UUID}


def _moment(utc: str, value: str, zone: str) -> str:
    # What `to_char` cannot write: infinity, and the years before the first and after 9999.
    return (
        f"CASE WHEN {utc} >= '0001-01-01' AND {utc} < '10000-01-01'"
        f" THEN to_char({utc}, 'YYYY-MM-DD\"T\"HH24:MI:SS.US{_in_pattern(zone)}') ELSE {value}::text END"
    )


def _in_pattern(text: str) -> str:
    return f'"{text}"' if text else ""


# --- SQLite -----------------------------------------------------------------------------------------

#: Pairs in one call of `json_object`: SQLite's functions take 100 arguments, if nobody built it otherwise.
_PAIRS = 48


def sqlite_object(shape: Shape, alias: str) -> str:
    """An expression for a row as JSON."""
    longest = min(LONGEST, _SQLITE_LONGEST // (_ESCAPED * (len(shape.fields) + 1)))
    pairs = [
        f"{literal(field.name)}, {_in_sqlite(field, f'{alias}.{quoted(field.column)}', longest)}"
        for field in shape.fields
    ]
    parts = [f"json_object({', '.join(pairs[at : at + _PAIRS])})" for at in range(0, len(pairs) or 1, _PAIRS)]
    if len(parts) == 1:
        return parts[0]
    inner = [f"(SELECT substr(j, 2, length(j) - 2) FROM (SELECT {part} AS j))" for part in parts]  # noqa: S608 - quoted
    return "'{' || " + " || ',' || ".join(inner) + " || '}'"


def _in_sqlite(field: Field, value: str, longest: int) -> str:
    anything = _anything(value, longest)
    if field.kind is Kind.BOOLEAN:
        return f"json(CASE {value} WHEN 0 THEN 'false' WHEN 1 THEN 'true' ELSE json_quote({anything}) END)"
    if field.kind is Kind.JSON:
        return (
            f"json(CASE WHEN typeof({value}) = 'text' AND {_is_short(value, longest)} AND json_valid({value})"
            f" THEN {value} ELSE json_quote({anything}) END)"
        )
    if field.kind is Kind.NUMBER:
        # Of its own accord SQLite writes 15 digits, with which two numbers may look the same. 17 would tell
        # them all apart, if it did not mistake the last one in numbers that are very large.
        return (
            f"json(CASE WHEN typeof({value}) = 'real' AND abs({value}) < 9e999"
            f" THEN printf('%!.18g', {value}) ELSE json_quote({anything}) END)"
        )
    if texts := _IN_SQLITE.get(field.kind):
        cases = " ".join(f"WHEN {condition} THEN {then}" for condition, then in texts(field, value))
        return f"CASE {cases} ELSE {anything} END"
    return anything


def _anything(value: str, longest: int) -> str:
    """Any value, which in SQLite any column may hold."""
    return (
        f"CASE typeof({value}) WHEN 'integer' THEN {value}"
        f" WHEN 'text' THEN CASE WHEN {_is_short(value, longest)} THEN {value} END"
        f" WHEN 'real' THEN CASE WHEN abs({value}) < 9e999 THEN {value}"
        f" WHEN {value} > 0 THEN 'Infinity' ELSE '-Infinity' END"
        f" WHEN 'blob' THEN CASE WHEN length({value}) <= {longest} THEN '\\x' || lower(hex({value})) END END"
    )


def _is_short(value: str, longest: int) -> str:
    # As bytes: the length of a text ends at a NUL in it.
    return f"length(CAST({value} AS BLOB)) <= {longest}"


_Cases = list[tuple[str, str]]


#: Digits that SQLite writes of a number of its own accord. In what `printf` adds it is mistaken.
_DIGITS = 15


def _decimal(field: Field, value: str) -> _Cases:
    plain = (f"typeof({value}) IN ('integer', 'real')", f"CAST({value} AS TEXT)")
    if field.places is None:
        return [plain]
    zeros = f".{'0' * field.places}" if field.places else ""
    return [
        (f"typeof({value}) = 'integer'", f"{value} || '{zeros}'"),
        (
            f"typeof({value}) = 'real' AND abs({value}) < 1e{_DIGITS - field.places}",
            f"printf('%.{field.places}f', {value})",
        ),
        plain,
    ]


def _sqlite_moment(field: Field, value: str) -> _Cases:
    zone = "Z" if field.kind is Kind.MOMENT else ""
    with_t = f"replace({value}, ' ', 'T')"
    return [  # as Django writes them
        (f"{value} GLOB '????-??-?? ??:??:??.??????'", f"{with_t} || '{zone}'"),
        (f"{value} GLOB '????-??-?? ??:??:??'", f"{with_t} || '.000000{zone}'"),
    ]


def _sqlite_time(_field: Field, value: str) -> _Cases:
    return [(f"{value} GLOB '??:??:??'", f"{value} || '.000000'")]


def _sqlite_uuid(_field: Field, value: str) -> _Cases:
    cuts = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
    parts = " || '-' || ".join(f"substr({value}, {start}, {length})" for start, length in cuts)
    return [(f"typeof({value}) = 'text' AND length({value}) = 32", f"lower({parts})")]


_IN_SQLITE = {
    Kind.DECIMAL: _decimal,
    Kind.MOMENT: _sqlite_moment,
    Kind.DATETIME: _sqlite_moment,
    Kind.TIME: _sqlite_time,
    Kind.UUID: _sqlite_uuid,
}


# --- what was written -------------------------------------------------------------------------------

_as_json = msgspec.json.Decoder()


def row_as_json(row: str | bytes) -> msgspec.Raw:
    """A row that a database wrote, so that whoever is given it can read it; raises ValueError if nobody can.

    SQLite keeps texts that are none, and the JSON of both databases may hold half surrogate pairs.
    """
    text = row.decode(errors="replace") if isinstance(row, bytes) else row
    try:
        _as_json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        text = json.dumps(_readable(json.loads(text, parse_float=_number)))
    return msgspec.Raw(text.encode())


def _number(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _readable(value: object) -> object:
    """The same without half surrogate pairs, which UTF-8 has not."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_readable(item) for item in value]
    if isinstance(value, dict):
        return {str(_readable(name)): _readable(item) for name, item in value.items()}
    return value
