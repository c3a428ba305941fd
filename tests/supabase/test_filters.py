"""Filters of the Supabase dialect: what they say of values and of NULL."""

from __future__ import annotations

import datetime as dt

import pytest

from changes.filters import Column, Kind, QueryError, Readable, Table, everything, matches
from changes.filters.rights import Policy
from supabase.filters import MAX_VALUES, parse

ROWS = Table(
    "rows",
    (
        Column("id", Kind.INTEGER),
        Column("nom", Kind.TEXT),
        Column("ok", Kind.BOOLEAN),
        Column("day", Kind.DATE),
        Column("meta", Kind.JSON),
        Column("secret", Kind.TEXT),
    ),
)
READABLE = Readable((Policy(everything(ROWS).rows, frozenset(ROWS.names) - {"secret"}),))


def fits(text, **values):
    row = ROWS.row_of(dict.fromkeys(ROWS.names) | values)
    return matches(parse(text, ROWS, READABLE), row)


@pytest.mark.parametrize(
    ("text", "fitting", "others"),
    [
        ("", [{}], []),
        ("id=eq.4", [{"id": 4}], [{"id": 5}, {}]),
        ("id=neq.4", [{"id": 5}], [{"id": 4}, {}]),
        ("id=not.eq.4", [{"id": 5}], [{"id": 4}, {}]),
        ("id=gt.9", [{"id": 10}], [{"id": 9}, {}]),
        ("id=not.gt.9", [{"id": 9}], [{"id": 10}, {}]),
        ("nom=lt.b", [{"nom": "a"}], [{"nom": "b"}, {}]),
        ("day=gte.2026-12-01", [{"day": dt.date(2026, 12, 1)}], [{"day": dt.date(2026, 11, 30)}, {}]),
        ("id=in.(1, 2,3)", [{"id": 2}], [{"id": 4}, {}]),
        ("id=not.in.(1,2)", [{"id": 3}], [{"id": 1}, {}]),
        ("id=in.()", [], [{"id": 1}, {}]),
        ('nom=in.("a,b",c)', [{"nom": "a,b"}, {"nom": "c"}], [{"nom": "a"}]),
        ("nom=like.%a_c%", [{"nom": "xabc"}], [{"nom": "xABC"}, {"nom": "ac"}, {}]),
        ("nom=ilike.%ÉTÉ", [{"nom": "un été"}], [{"nom": "ete"}, {}]),
        ("nom=not.like.a%", [{"nom": "b"}], [{"nom": "ab"}, {}]),
        ("nom=is.null", [{}], [{"nom": ""}]),
        ("nom=not.is.null", [{"nom": ""}], [{}]),
        ("ok=is.true", [{"ok": True}], [{"ok": False}, {}]),
        ("ok=not.is.true", [{"ok": False}, {}], [{"ok": True}]),
        ("ok=is.unknown", [{}], [{"ok": False}]),
        ("nom=isdistinct.a", [{"nom": "b"}, {}], [{"nom": "a"}]),
        ("nom=not.isdistinct.a", [{"nom": "a"}], [{"nom": "b"}, {}]),
        ("id=gt.1,id=lt.4", [{"id": 2}], [{"id": 1}, {"id": 4}]),
        ('nom=eq."a,b"', [{"nom": "a,b"}], [{"nom": '"a,b"'}]),
        (r'nom=eq."a\"b"', [{"nom": 'a"b'}], []),
        ('nom=eq.a"b', [{"nom": 'a"b'}], []),
        ("nom=eq.a.b=c", [{"nom": "a.b=c"}], []),
        ("meta=is.null", [{}], []),
    ],
)
def test_operator_says(text, fitting, others):
    assert all(fits(text, **values) for values in fitting)
    assert not any(fits(text, **values) for values in others)


@pytest.mark.parametrize(
    "text",
    [
        *("id", "id=", "id=eq", "id=4", "=eq.4", ",id=eq.4", "id=eq.4,", "id=near.4", "id=eq.x", "id=eq."),
        *("couleur=eq.4", "secret=eq.x", "id=in.1,2", "id=in.(1,x)", "nom=is.empty", "id=is.true"),
        *("nom=match.(a+)+$", "id=like.1%", "nom=like.a\\", 'nom=eq."a', "meta=eq.1", "ok=gt.true"),
        f"id=in.({','.join(map(str, range(MAX_VALUES + 1)))})",
        ",".join(["id=eq.1"] * 51),
        "nom=like." + "a" * 201,
    ],
)
def test_filter_that_says_nothing_is_refused(text):
    with pytest.raises(QueryError):
        parse(text, ROWS, READABLE)
