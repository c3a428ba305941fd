"""Whatever filters, rights and sorts say, memory and the database select the same rows, in the same order."""

import datetime as dt
import os

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, event, given, note, settings
from hypothesis import strategies as st

from changes.filters import (
    Problem,
    QueryError,
    attach,
    bound,
    everything,
    matches,
    order_by,
    parse_filter,
    readable,
    sorted_rows,
    view,
    where,
)
from tests.changes.filters.cases import CASES
from tests.changes.filters.odd_rows import (
    FAR_FILTERS,
    FILTERS,
    ODD,
    POLICIES,
    ROWS,
    SORTS,
    USERS,
    in_driver,
    insert,
    odd_table,
    selected,
    stored,
)

#: `FILTERS=10000 scripts/test tests/changes/filters/test_alike.py` for a long search.
EXAMPLES = int(os.environ.get("FILTERS", "40"))
NOW = dt.datetime(2026, 2, 28, 23, 59, 59, 1, tzinfo=dt.UTC)

by_chance = settings(
    max_examples=EXAMPLES,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)


@pytest.fixture(autouse=True)
def _table(db):
    with odd_table():
        yield


def load(relation, keys):
    """The rows at the end of a relation, as the database has them."""
    return [row for row in stored() if row[relation.to.name] in keys]


@pytest.mark.parametrize(("field", "operator", "value", "matching", "others"), CASES)
def test_operator_says_the_same_in_sql(field, operator, value, matching, others):
    name = {"id": "whole"}.get(field, field)
    empty = dict.fromkeys(ODD.names)
    insert([empty | {name: in_driver(each)} for each in (*matching, *others)])
    condition = parse_filter({name: {operator: value}}, ODD)

    sql = where(condition, vendor=connection.vendor, alias="odd", now=NOW)

    assert selected(sql.text, sql.parameters) == list(range(1, len(matching) + 1))


def test_texts_are_in_the_order_of_their_code_points():
    insert([dict.fromkeys(ODD.names) | {"word": word} for word in ("é", "a", None, "B", "_")])

    for sort, numbers in (("word", [4, 5, 2, 1, 3]), ("-word", [3, 1, 2, 5, 4])):
        keys = view(ODD, everything(ODD), {"sort": sort}).sort
        order = order_by(keys, vendor=connection.vendor, alias="odd")
        assert selected("1 = 1", order.parameters, order.text) == numbers
        assert [row["id"] for row in sorted_rows(stored(), keys)] == numbers


def test_null_of_json_is_null():
    insert(
        [dict.fromkeys(ODD.names) | {"meta": text} for text in (None, "null", " null ", '"null"', "[null]")]
    )

    for asked, numbers in (({"_null": True}, [1, 2, 3]), ({"_nnull": True}, [4, 5])):
        condition = parse_filter({"meta": asked}, ODD)
        sql = where(condition, vendor=connection.vendor, alias="odd")
        assert selected(sql.text, sql.parameters) == numbers
        assert [row["id"] for row in stored() if matches(condition, row)] == numbers


def test_now_is_the_moment_that_is_given():
    insert(
        [dict.fromkeys(ODD.names) | {"at": in_driver(NOW + dt.timedelta(days=days))} for days in (-2, 0, 2)]
    )
    condition = parse_filter({"at": {"_gt": "$NOW(-1 day)"}}, ODD)

    for now, numbers in ((NOW, [2, 3]), (NOW + dt.timedelta(days=2), [3])):
        sql = where(condition, vendor=connection.vendor, alias="odd", now=now)
        assert selected(sql.text, sql.parameters) == numbers
        assert [row["id"] for row in stored() if matches(condition, row, now)] == numbers


@pytest.mark.parametrize("given", [{"word": "$CURRENT_USER"}, {"word": {"_icontains": "$CURRENT_USER"}}])
def test_variable_without_a_value_is_no_sql_yet(given):
    with pytest.raises(ValueError, match="not bound"):
        where(parse_filter(given, ODD), vendor=connection.vendor, alias="odd")


def _how_many(found, rows):
    return "all" if len(found) == len(rows) else "some" if found else "none"


@by_chance
@given(ROWS, st.lists(FILTERS, min_size=1, max_size=8), USERS)
def test_filter_matches_the_rows_that_sql_selects(rows, filters, user):
    with transaction.atomic():
        insert(rows)
        read = stored()
        for each in filters:
            condition = bound(parse_filter(each, ODD), user)
            sql = where(condition, vendor=connection.vendor, alias="odd", now=NOW)
            note(f"{each} → {sql}")
            found = [row["id"] for row in read if matches(condition, row, NOW)]
            event(f"rows found: {_how_many(found, rows)}")
            assert found == selected(sql.text, sql.parameters)
        transaction.set_rollback(True)


@by_chance
@given(ROWS, POLICIES, FAR_FILTERS, SORTS, USERS)
def test_view_has_the_rows_that_sql_selects_in_their_order(rows, policies, asked, sort, user):
    rights = readable(policies, user)
    try:
        seen = view(
            ODD, rights, {"filter": asked, "sort": sort}, user_values=user, related=lambda relation: rights
        )
    except QueryError as error:
        event("not theirs to name")
        if error.problem is not Problem.FIELD:
            raise
        return
    with transaction.atomic():
        insert(rows)
        read = stored()
        attach(read, seen.needs, load)
        sql = where(seen.rows, vendor=connection.vendor, alias="odd", now=NOW)
        order = order_by(seen.sort, vendor=connection.vendor, alias="odd", now=NOW)
        note(f"{sql}\n{order}")
        found = [row for row in sorted_rows(read, seen.sort, NOW) if seen.has(row, NOW)]
        assert [row["id"] for row in found] == selected(
            sql.text, (*sql.parameters, *order.parameters), order.text
        )
        event(f"rows found: {_how_many(found, rows)}")
        for row in found:
            allowed = set().union(
                *(each.fields for each in policies if matches(bound(each.rule, user), row, NOW))
            )
            assert set(seen.cut(row, NOW)) == allowed
        transaction.set_rollback(True)
