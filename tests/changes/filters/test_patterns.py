"""Patterns of LIKE, in memory and in both databases."""

from __future__ import annotations

import time

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from changes.filters import Check, Comparison, Field, matches, where
from changes.filters.patterns import matcher_of
from tests.changes.filters.odd_rows import ODD, insert, odd_table, selected, stored


@pytest.fixture
def _table(db):
    with odd_table():
        yield


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        ("", [""], ["a"]),
        ("%", ["", "a\nb"], []),
        ("a_c", ["abc", "a\nc"], ["ac", "abbc", "xabc"]),
        ("a%", ["a", "ab"], ["ba", "A"]),
        ("%b%b", ["bb", "abab"], ["b", "ba"]),
        ("%_%", ["a"], [""]),
        ("a%a", ["aa", "aba"], ["a"]),
        (r"50\%\_\\", [r"50%_\ "[:-1]], ["50x", r"50%_"]),
        ("*[a]?", ["*[a]?"], ["a", "xxa?"]),
        ("%.+%", ["x.+y"], ["xy"]),
    ],
)
def test_pattern_fits(pattern, fitting, others):
    fits = matcher_of(pattern)

    assert all(map(fits, fitting))
    assert not any(map(fits, others))


def test_hostile_pattern_takes_no_longer_than_its_length():
    fits, text = matcher_of("%a" * 90 + "%b"), "a" * 200_000
    began = time.perf_counter()

    assert not fits(text)
    assert time.perf_counter() - began < 1


@pytest.mark.usefixtures("_table")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    pattern=st.text(alphabet="aÉé%_*?[]^\\-", max_size=8).filter(lambda text: not text.endswith("\\")),
    words=st.lists(st.text(alphabet="aAÉé%_*?[]^\\-", max_size=8), min_size=1, max_size=6),
    folded=st.booleans(),
    negated=st.booleans(),
)
def test_memory_and_the_database_say_the_same_of_a_pattern(pattern, words, folded, negated):
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM odd")
    insert([dict.fromkeys(ODD.names) | {"word": word} for word in [*words, None]])
    try:
        matcher_of(pattern)
    except ValueError:
        return
    check = Check.LIKE_LETTERS if folded else Check.LIKE
    condition = Comparison(Field(ODD.by_name["word"]), check, pattern, negated)
    sql = where(condition, vendor=connection.vendor, alias="odd")

    assert selected(sql.text, sql.parameters) == [row["id"] for row in stored() if matches(condition, row)]
