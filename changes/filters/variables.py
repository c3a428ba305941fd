"""Variables in filters: what is the user's, and what is the time."""

from __future__ import annotations

import datetime as dt
import re
from calendar import monthrange
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UserValue:
    """A value of whoever asks, by its name: `$CURRENT_USER`, `$CURRENT_USER.email`, `$CURRENT_ROLES`."""

    name: str


@dataclass(frozen=True, slots=True)
class Now:
    """The moment at which the filter is evaluated, shifted."""

    months: int = 0
    shift: dt.timedelta = dt.timedelta()

    def at(self, now: dt.datetime) -> dt.datetime:
        """The moment that is meant at this one. The 31st of a shorter month is its last day."""
        if self.months:
            month = now.year * 12 + now.month - 1 + self.months
            year, month = month // 12, month % 12 + 1
            now = now.replace(year=year, month=month, day=min(now.day, monthrange(year, month)[1]))
        return now + self.shift


#: What may follow `$CURRENT_`; roles and policies are lists.
_OF_USER = re.compile(r"\$CURRENT_(USER|ROLE)(\.\w+)*|\$CURRENT_(ROLES|POLICIES)", re.ASCII)
_NOW = re.compile(r"\$NOW(?:\(\s*([+-]?\d{1,15})\s*([a-z]*)\s*\))?", re.ASCII | re.IGNORECASE)

_UNITS = {
    "ms": "ms msec msecs millisecond milliseconds",
    "s": "s sec secs second seconds",
    "m": "m min mins minute minutes",
    "h": "h hr hrs hour hours",
    "d": "d day days",
    "w": "w week weeks",
    "mo": "mo mth month months",
    "y": "y yr yrs year years",
}
_UNIT_OF = {name: unit for unit, names in _UNITS.items() for name in names.split()} | {"": "d"}
_SHIFTS = {
    "ms": dt.timedelta(milliseconds=1),
    "s": dt.timedelta(seconds=1),
    "m": dt.timedelta(minutes=1),
    "h": dt.timedelta(hours=1),
    "d": dt.timedelta(days=1),
    "w": dt.timedelta(weeks=1),
}
#: A shift further than this leaves the calendar of Python sooner or later.
MAX_SHIFT_YEARS = 1000


def is_list(name: str) -> bool:
    """Whether a variable of the user holds a list."""
    return name in {"$CURRENT_ROLES", "$CURRENT_POLICIES"}


def variable_in(text: str) -> UserValue | Now | None:
    """The variable that a text is, or None for a text that is only that; a ValueError for a malformed one."""
    if text.startswith("$CURRENT_"):
        if not _OF_USER.fullmatch(text):
            raise ValueError("a variable like $CURRENT_USER")
        return UserValue(text)
    if not text.startswith("$NOW"):
        return None
    found = _NOW.fullmatch(text)
    unit = _UNIT_OF.get((found[2] or "").lower()) if found else None
    if not found or unit is None:
        raise ValueError("a moment like $NOW or $NOW(-2 hours)")
    count = int(found[1] or 0)
    months = count * {"mo": 1, "y": 12}.get(unit, 0)
    if abs(months) > MAX_SHIFT_YEARS * 12:
        raise ValueError(f"a moment within {MAX_SHIFT_YEARS} years")
    if months or unit not in _SHIFTS:
        return Now(months=months)
    if abs(count) > dt.timedelta(days=MAX_SHIFT_YEARS * 365) / _SHIFTS[unit]:
        raise ValueError(f"a moment within {MAX_SHIFT_YEARS} years")
    return Now(shift=count * _SHIFTS[unit])
