"""What a filter may say, what it then means, and how it is refused."""

import datetime as dt
from decimal import Decimal

import pytest

from changes.filters import (
    ALWAYS,
    AllOf,
    Check,
    Comparison,
    Field,
    Problem,
    QueryError,
    bound,
    depends_on_time,
    everything,
    parse_filter,
)
from changes.filters.parsing import MAX_CHARACTERS, MAX_COMPARISONS, MAX_DEPTH, MAX_RELATIONS, MAX_VALUES
from changes.filters.variables import Now
from tests.changes.filters.articles import ARTICLES, NOW


def asked(given, **more):
    return parse_filter(given, ARTICLES, **more)


def nested(levels):
    inner = {"id": 1}
    for _ in range(levels):
        inner = {"_and": [inner]}
    return inner


@pytest.mark.parametrize("nothing", [{}, None, "", "{}", {"_and": []}, {"_or": []}, {"status": {}}])
def test_empty_filter_matches_all(nothing):
    assert asked(nothing) == ALWAYS


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"status": "draft"}, {"status": {"_eq": "draft"}}),
        ({"status": {"_eq": "draft"}}, '{"status": {"_eq": "draft"}}'),
        ({"id": "12"}, {"id": 12}),
        ({"price": "1.50"}, {"price": 1.5}),
        ({"id": {"_in": "1,2"}}, {"id": {"_in": [2, "1", 1]}}),
        ({"id": {"_between": "1,2"}}, {"id": {"_between": [1, 2]}}),
        ({"status": None}, {"status": {"_null": True}}),
        ({"status": "null"}, {"status": {"_null": "true"}}),
        ({"status": {"_neq": None}}, {"status": {"_null": False}}),
        ({"status": {"_nnull": False}}, {"status": {"_null": True}}),
        ({"status": {"_nempty": True}}, {"status": {"_empty": False}}),
        ({"created_at": "2026-12-01"}, {"created_at": "2026-12-01T01:00:00+01:00"}),
        ({"day": "2026-12-01T23:00:00-05:00"}, {"day": "2026-12-01"}),
        ({"created_at": "$NOW(-1 day)"}, {"created_at": "$NOW(-24 hours)"}),
        ({"created_at": "$NOW(+2)"}, {"created_at": "$NOW(2 d)"}),
        ({"status": "a", "id": 1}, {"id": 1, "status": "a"}),
        ({"_or": [{"id": 1}, {"status": "a"}]}, {"_or": [{"status": "a"}, {"id": 1}, {"id": 1}]}),
        ({"_and": [{"id": 1}, {"_and": [{"status": "a"}]}]}, {"id": 1, "status": "a"}),
        ({"id": {"_or": [{"_lt": 1}, {"_gt": 9}]}}, {"_or": [{"id": {"_lt": 1}}, {"id": {"_gt": 9}}]}),
        ({"id": {"_gt": 1, "_lt": 9}}, {"_and": [{"id": {"_lt": 9}}, {"id": {"_gt": 1}}]}),
    ],
)
def test_filters_that_mean_the_same_are_equal_values(one, other):
    assert asked(one) == asked(other)
    assert hash(asked(one)) == hash(asked(other))


def test_different_filters_are_different_values():
    filters = [{"id": 1}, {"id": 2}, {"id": {"_neq": 1}}, {"id": {"_gt": 1}}, {"score": 1}, {"year(day)": 1}]

    assert len({asked(each) for each in filters}) == len(filters)


def test_text_is_kept_as_it_is_and_converted_to_what_the_column_holds():
    status, price = (ARTICLES.by_name[name] for name in ("status", "price"))

    assert asked({"status": "true", "price": "1.50"}) == AllOf(
        (
            Comparison(Field(price), Check.EQUAL, Decimal("1.5")),
            Comparison(Field(status), Check.EQUAL, "true"),
        )
    )


HIDDEN = {"readable": {"id", "status"}}


@pytest.mark.parametrize(
    ("given", "problem", "text"),
    [
        ({"nowhere": 1}, Problem.FIELD, "There is no field 'nowhere', or it is not yours to read."),
        ({"title": {"_eq": "x"}}, Problem.FIELD, "There is no field 'title', or it is not yours to read."),
        ({"year(nowhere)": 1}, Problem.FIELD, "There is no field 'nowhere', or it is not yours to read."),
        (
            {"year(created_at)": 1},
            Problem.FIELD,
            "There is no field 'created_at', or it is not yours to read.",
        ),
        ({"author": {"name": "x"}}, Problem.FIELD, "There is no field 'author', or it is not yours to read."),
        ({"title": {"_regex": "x"}}, Problem.FIELD, "There is no field 'title', or it is not yours to read."),
        ({"year(id)": 1}, Problem.OPERATOR, "There is no function 'year' of id."),
        ({"week(id)": 1}, Problem.OPERATOR, "There is no function 'week' of id."),
        ({"status": {"_like": "x"}}, Problem.OPERATOR, "There is no operator '_like' for status."),
        ({"status": {"_regex": "(a+)+$"}}, Problem.OPERATOR, "There is no operator '_regex' for status."),
        ({"status": {"_lt": "x"}}, Problem.OPERATOR, "There is no operator '_lt' for status."),
        ({"id": {"_contains": 1}}, Problem.OPERATOR, "There is no operator '_contains' for id."),
        ({"id": {"name": "x"}}, Problem.OPERATOR, "There is no operator 'name' for id."),
        ({"id": {"_in": []}}, Problem.VALUE, "id._in takes a list of values, and not an empty one."),
        ({"id": {"_in": 1}}, Problem.VALUE, "id._in takes a list of values, and not an empty one."),
        ({"id": {"_in": [None]}}, Problem.VALUE, 'id._in takes no null; use "_null" or "_nnull".'),
        ({"id": {"_between": [1]}}, Problem.VALUE, "id._between takes a list of two values."),
        ({"id": {"_null": 1}}, Problem.VALUE, "id._null takes true or false."),
        ({"id": {"_null": []}}, Problem.VALUE, "id._null takes true or false."),
        ({"id": "x"}, Problem.VALUE, "id._eq takes a whole number of 64 bits, not 'x'."),
        ({"id": 1.5}, Problem.VALUE, "id._eq takes a whole number of 64 bits, not 1.5."),
        ({"id": True}, Problem.VALUE, "id._eq takes a whole number of 64 bits, not True."),
        ({"id": 2**63}, Problem.VALUE, "id._eq takes a whole number of 64 bits, not 9223372036854775808."),
        ({"id": [1]}, Problem.VALUE, "id._eq takes a whole number of 64 bits, not [1]."),
        ({"id": "$NOW"}, Problem.VALUE, "id._eq takes a value of kind integer, not a moment, not '$NOW'."),
        ({"id": "$CURRENT_USER.x"}, Problem.VALUE, "id._eq: there is no variable '$CURRENT_USER.x'."),
        ({"id": "$CURRENT_ROLES"}, Problem.VALUE, "id._eq takes one value, and $CURRENT_ROLES is a list."),
        ({"status": ""}, Problem.VALUE, 'status._eq takes no empty text; use "_empty" or "_nempty".'),
        ({"status": "a\0"}, Problem.VALUE, "status._eq takes a text without U+0000, not 'a\\x00'."),
        ({"status": "\ud800"}, Problem.VALUE, "status._eq takes a text without U+0000, not '\\ud800'."),
        (
            {"status": {"_contains": None}},
            Problem.VALUE,
            'status._contains takes no null; use "_null" or "_nnull".',
        ),
        ({"_or": {"id": 1}}, Problem.SHAPE, "_or takes a list of filters."),
        ({"id": {"_or": 1}}, Problem.SHAPE, "_or takes a list of filters."),
        ({"_and": [1]}, Problem.SHAPE, "A filter is an object, not 1."),
        ([], Problem.SHAPE, "A filter is an object, not []."),
        ("{", Problem.SHAPE, "The filter is not JSON."),
        ("[" * 30_000, Problem.SHAPE, "The filter is not JSON."),
        (nested(MAX_DEPTH), Problem.TOO_LARGE, f"The filter is nested deeper than {MAX_DEPTH} levels."),
        (nested(100), Problem.TOO_LARGE, f"The filter is nested deeper than {MAX_DEPTH} levels."),
        (nested(100_000), Problem.TOO_LARGE, f"The filter is nested deeper than {MAX_DEPTH} levels."),
        (
            {"_or": [{"id": number} for number in range(MAX_COMPARISONS + 1)]},
            Problem.TOO_LARGE,
            f"The filter is of more than {MAX_COMPARISONS} comparisons.",
        ),
        (
            {"id": {"_in": list(range(MAX_VALUES + 1))}},
            Problem.TOO_LARGE,
            f"The filter is of more than {MAX_VALUES} values in lists.",
        ),
        ({"status": "x" * MAX_CHARACTERS}, Problem.TOO_LARGE, "The filter is too long."),
        (
            " " * (MAX_CHARACTERS + 1),
            Problem.TOO_LARGE,
            f"The filter is longer than {MAX_CHARACTERS} characters.",
        ),
    ],
)
def test_mistake_is_refused_with_its_problem_and_a_text(given, problem, text):
    with pytest.raises(QueryError) as refused:
        asked(given, **HIDDEN)

    assert (refused.value.problem, refused.value.message) == (problem, text)


@pytest.mark.parametrize(
    ("name", "given", "text"),
    [
        ("price", "x", "a number"),
        ("price", "1e50", "a number of at most 40 digits before and after the point"),
        ("price", "NaN", "a number"),
        ("score", "Infinity", "a number"),
        ("score", "1e999", "a number of 64 bits"),
        ("score", [], "a number"),
        ("is_open", "yes", "true or false"),
        ("created_at", "yesterday", "a date and time, like 2026-12-01T09:30:00Z"),
        ("created_at", 5, "a date and time, like 2026-12-01T09:30:00Z"),
        ("created_at", "0001-01-01T00:00:00+14:00", "a date and time, like 2026-12-01T09:30:00Z"),
        ("created_at", "$NOW(1 fortnight)", "a moment like $NOW or $NOW(-2 hours)"),
        ("created_at", "$NOW(-9999 years)", "a moment within 1000 years"),
        ("created_at", "$NOW(-999999999999999 w)", "a moment within 1000 years"),
        ("created_at", "$CURRENT_TIME", "a variable like $CURRENT_USER"),
        ("day", "1.12.2026", "a date, like 2026-12-01"),
        ("opens", "09:00:00Z", "a time without a zone, like 09:30:00"),
        ("opens", "$NOW", "a value of kind time, not a moment"),
        ("token", "1-2-3", "a UUID"),
        ("token", 1, "a UUID"),
    ],
)
def test_value_that_the_column_cannot_hold_is_refused_with_what_would_be_right(name, given, text):
    with pytest.raises(QueryError) as refused:
        asked({name: given})

    assert refused.value.problem is Problem.VALUE
    assert refused.value.message == f"{name}._eq takes {text}, not {given!r}."


def test_hidden_relation_is_refused_like_one_that_does_not_exist():
    with pytest.raises(QueryError) as hidden:
        asked({"author": {"name": "x"}}, related=None)
    with pytest.raises(QueryError) as missing:
        asked({"penname": {"name": "x"}}, related=None)

    assert hidden.value.message == missing.value.message.replace("penname", "author")
    assert asked({"author": {"name": "x"}}, related=lambda relation: everything(relation.table))


def test_lists_below_a_relation_are_about_the_field_and_about_what_it_leads_to():
    def far(given):
        return asked(given, related=lambda relation: everything(relation.table))

    assert far({"author": {"_or": [{"_null": True}, {"name": "Ana"}]}}) == far(
        {"_or": [{"author": {"_null": True}}, {"author": {"name": "Ana"}}]}
    )
    assert far({"author": {"_gt": 5, "name": "Ana", "email": {"_nnull": True}}}) == far(
        {
            "_and": [
                {"author": {"_gt": 5}},
                {"author": {"name": "Ana"}},
                {"author": {"email": {"_nnull": True}}},
            ]
        }
    )


def test_filter_follows_so_many_relations_and_no_more():
    def far(relations):
        inner = {"id": 1}
        for number in range(relations):
            inner = {"author" if (relations - number) % 2 else "articles": inner}
        return asked(inner, related=lambda relation: everything(relation.table))

    far(MAX_RELATIONS)
    with pytest.raises(QueryError) as refused:
        far(MAX_RELATIONS + 1)

    assert refused.value.problem is Problem.TOO_LARGE


def test_what_a_client_wrote_is_repeated_to_it_shortened():
    with pytest.raises(QueryError) as refused:
        asked({"x" * 1_000: 1})

    assert len(refused.value.message) < 120


def test_filter_knows_whether_it_depends_on_time():
    assert not depends_on_time(asked({"author": "$CURRENT_USER", "day": "2026-12-01"}))
    assert depends_on_time(asked({"day": {"_between": ["$NOW(-1 week)", "$NOW"]}}))


def test_users_of_whom_the_same_is_true_have_equal_conditions():
    condition = asked({"author": "$CURRENT_USER", "status": "draft"})

    assert bound(condition, {"$CURRENT_USER": 7}) == bound(condition, {"$CURRENT_USER": "7", "more": 1})
    assert bound(condition, {"$CURRENT_USER": 7}) == asked({"author": 7, "status": "draft"})
    assert bound(condition, {"$CURRENT_USER": 8}) != asked({"author": 7, "status": "draft"})


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("$NOW", NOW),
        ("$NOW(-2 hours)", NOW - dt.timedelta(hours=2)),
        ("$NOW(+90 s)", NOW + dt.timedelta(seconds=90)),
        ("$NOW(1500 ms)", NOW + dt.timedelta(seconds=1.5)),
        ("$NOW(-3 m)", NOW - dt.timedelta(minutes=3)),
        ("$NOW(2 weeks)", NOW + dt.timedelta(days=14)),
        ("$NOW(-1 mo)", dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC)),
        ("$NOW(-2 years)", dt.datetime(2024, 12, 1, 12, tzinfo=dt.UTC)),
    ],
)
def test_now_is_shifted_by_what_is_said(text, moment):
    condition = asked({"created_at": text})

    assert condition.operand.at(NOW) == moment


def test_month_later_than_the_31st_is_the_last_day_of_a_shorter_month():
    assert Now(months=1).at(dt.datetime(2026, 1, 31, tzinfo=dt.UTC)) == dt.datetime(
        2026, 2, 28, tzinfo=dt.UTC
    )
