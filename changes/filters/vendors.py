"""How PostgreSQL and SQLite say the same: where they differ by themselves, each is told what is meant."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Protocol

from changes.filters.asked import MAX_INTEGER
from changes.filters.conditions import Part
from changes.filters.folding import letters_to_fold
from changes.filters.patterns import as_glob
from changes.filters.tables import Column
from changes.filters.values import Kind, Value


@dataclass(frozen=True, slots=True)
class Sql:
    """A text with `%s` in place of each parameter, and the parameters."""

    text: str
    parameters: tuple[Any, ...] = ()

    def then(self, text: str, *parameters: Any) -> Sql:
        """This, with something behind it."""
        return Sql(self.text + text, self.parameters + parameters)

    def within(self, before: str, after: str, *parameters: Any) -> Sql:
        """This between two texts; the parameters belong to the second."""
        return Sql(before + self.text + after, self.parameters + parameters)


def column_of(column: Column, alias: str) -> str:
    """A column of the table that SQL knows by this alias, quoted for both databases and their drivers."""
    return f"{alias}.{quoted(column.stored_as)}"


def quoted(name: str) -> str:
    """A name in double quotes; a percent sign would be taken for a parameter."""
    return '"' + name.replace('"', '""').replace("%", "%%") + '"'


class Vendor(Protocol):
    """How one database says what both mean."""

    def parameter(self, kind: Kind, value: Value) -> Any:
        """A value as its driver takes it."""

    def text(self, column: str) -> str:
        """A column of text, as plain text."""

    def ordered(self, column: str, kind: Kind) -> str:
        """What `text` gave, or another column, as it is ordered."""

    def part(self, column: str, kind: Kind, part: Part) -> str:
        """A part of a date or a time, as a whole number."""

    def folded(self, column: Sql, needle: str) -> Sql:
        """A text in lower case, as far as the needle can tell."""

    def contains(self, text: Sql, needle: str) -> Sql:
        """Whether a text contains the needle."""

    def starts_with(self, text: Sql, needle: str) -> Sql:
        """Whether a text starts with the needle."""

    def ends_with(self, text: Sql, needle: str) -> Sql:
        """Whether a text ends with the needle."""

    def like(self, text: Sql, pattern: str) -> Sql:
        """Whether a text fits a pattern."""

    def is_null_json(self, column: str) -> str:
        """Whether a column of JSON is NULL or the null of JSON, which a row shows alike."""


class Postgresql:
    """PostgreSQL 14 and later."""

    def parameter(self, kind: Kind, value: Value) -> Any:
        return value

    def text(self, column: str) -> str:
        # Nothing for text and varchar; an enum or citext is compared as the text that a row shows.
        return f"{column}::text"

    def ordered(self, column: str, kind: Kind) -> str:
        return f'{column} COLLATE "C"' if kind is Kind.TEXT else column

    def part(self, column: str, kind: Kind, part: Part) -> str:
        in_utc = f"({column} AT TIME ZONE 'UTC')" if kind is Kind.DATETIME else column
        taken = {Part.WEEKDAY: "DOW"}.get(part, part.upper())
        number = f"TRUNC(EXTRACT({taken} FROM {in_utc}))::int"
        if kind is Kind.TIME:
            return f"CASE WHEN {column} < '24:00' THEN {number} END"
        return f"CASE WHEN {in_utc} >= '0001-01-01' AND {in_utc} < '10000-01-01' THEN {number} END"

    def folded(self, column: Sql, needle: str) -> Sql:
        lower = column.within("lower(", ' COLLATE "C")')
        pairs = letters_to_fold(needle)
        if not pairs:
            return lower
        upper, lowered = map("".join, zip(*pairs, strict=True))
        return lower.within("translate(", ", %s, %s)", upper, lowered)

    def contains(self, text: Sql, needle: str) -> Sql:
        return text.then(" LIKE %s", f"%{self._escaped(needle)}%")

    def starts_with(self, text: Sql, needle: str) -> Sql:
        return text.then(" LIKE %s", f"{self._escaped(needle)}%")

    def ends_with(self, text: Sql, needle: str) -> Sql:
        return text.then(" LIKE %s", f"%{self._escaped(needle)}")

    def like(self, text: Sql, pattern: str) -> Sql:
        return text.then(" LIKE %s", pattern)

    @staticmethod
    def _escaped(needle: str) -> str:
        return re.sub(r"([\\%_])", r"\\\1", needle)

    def is_null_json(self, column: str) -> str:
        return f"COALESCE(btrim({column}::text, E' \\t\\n\\r'), 'null') = 'null'"


class Sqlite:
    """SQLite, with values stored as Django stores them."""

    #: Where the parts stand in `2026-12-01 09:30:00`.
    _PLACES: ClassVar[dict[Part, int]] = {
        Part.YEAR: 1,
        Part.MONTH: 6,
        Part.DAY: 9,
        Part.HOUR: 12,
        Part.MINUTE: 15,
        Part.SECOND: 18,
    }

    def parameter(self, kind: Kind, value: Value) -> Any:
        if isinstance(value, bool):
            return int(value)
        if isinstance(value, Decimal):
            # As exact as the column, which holds 64-bit integers and floats.
            is_whole = value == value.to_integral_value() and abs(value) <= MAX_INTEGER
            return int(value) if is_whole else float(value)
        if isinstance(value, dt.datetime):
            return value.replace(tzinfo=None).isoformat(" ")
        if isinstance(value, dt.date | dt.time):
            return value.isoformat()
        return value.hex if kind is Kind.UUID else value

    def text(self, column: str) -> str:
        return column

    def ordered(self, column: str, kind: Kind) -> str:
        return column

    def part(self, column: str, kind: Kind, part: Part) -> str:
        if part is Part.WEEKDAY:
            return f"CAST(strftime('%%w', substr({column}, 1, 10)) AS INTEGER)"
        place = self._PLACES[part] - (11 if kind is Kind.TIME else 0)
        return f"CAST(substr({column}, {place}, {4 if part is Part.YEAR else 2}) AS INTEGER)"

    def folded(self, column: Sql, needle: str) -> Sql:
        folded = column.within("lower(", ")")
        for upper, lower in letters_to_fold(needle):
            folded = folded.within("replace(", ", %s, %s)", upper, lower)
        return folded

    def contains(self, text: Sql, needle: str) -> Sql:
        # LIKE takes upper and lower case for one here, and as it likes.
        return text.within("instr(", ", %s) > 0", needle)

    def starts_with(self, text: Sql, needle: str) -> Sql:
        return text.within("instr(", ", %s) = 1", needle)

    def ends_with(self, text: Sql, needle: str) -> Sql:
        if not needle:
            return text.then(" IS NOT NULL")
        # Bytes, because characters end at U+0000. It is also put in front, since the end of an empty text is
        # NULL; no needle holds it.
        end = needle.encode()
        return text.within("substr(CAST(char(0) || ", f" AS BLOB), -{len(end)}) = %s", end)

    def like(self, text: Sql, pattern: str) -> Sql:
        return text.then(" GLOB %s", as_glob(pattern))

    def is_null_json(self, column: str) -> str:
        return (
            f"COALESCE(CASE WHEN json_valid({column}) THEN json({column}) ELSE {column} END, 'null') = 'null'"
        )


VENDORS: dict[str, Vendor] = {"postgresql": Postgresql(), "sqlite": Sqlite()}
