"""Rights as values, and what a watcher sees of a change."""

import pytest

from changes.filters import (
    Policy,
    Problem,
    QueryError,
    Readable,
    Sight,
    attach,
    everything,
    parse_page,
    policy,
    readable,
    sorted_rows,
    view,
)
from tests.changes.filters.articles import ARTICLES, AUTHORS, NOW, article, author

PUBLISHED = policy(ARTICLES, rows={"status": "published"}, fields=["id", "title", "status"])
OWN = policy(ARTICLES, rows={"author": "$CURRENT_USER"})
ALL = everything(ARTICLES)

DRAFT = article(status="draft", title="Hiver")
SHOWN = article(status="published", title="Été")


def sees(seen, old, new):
    """What is seen: the event, the change and the shown row; None for nothing."""
    found = seen.sees(old, new, NOW)
    return found and (found.event, found.change, found.row)


# ── rights ───────────────────────────────────────────────────────────────────────────────────────────────


def test_users_with_equal_rights_are_equal_values():
    ana, bruno = {"$CURRENT_USER": 7}, {"$CURRENT_USER": 8}

    assert readable([PUBLISHED], ana) == readable([PUBLISHED], bruno)
    assert readable([OWN, PUBLISHED], ana) == readable([PUBLISHED, OWN, OWN], {"$CURRENT_USER": "7"})
    assert readable([OWN], ana) != readable([OWN], bruno)


def test_views_of_equal_questions_and_rights_are_equal_values():
    query = {"filter": {"title": {"_contains": "x"}}, "fields": "id,title", "sort": ["-id"]}
    ana, bruno = ({"$CURRENT_USER": number} for number in (7, 8))
    views = {view(ARTICLES, readable([PUBLISHED], user), query, user_values=user) for user in (ana, bruno)}

    assert len(views) == 1
    assert len({*views, view(ARTICLES, ALL, query)}) == 2
    assert len({*views, view(ARTICLES, readable([PUBLISHED], ana), query | {"sort": "id"})}) == 2


def test_without_a_policy_nothing_is_readable():
    nothing = readable([], {})

    assert nothing == Readable()
    assert nothing.fields == frozenset()
    assert sees(view(ARTICLES, nothing), None, SHOWN) is None


def test_superuser_sees_every_row_and_field():
    assert sees(view(ARTICLES, ALL), None, DRAFT) == (Sight.CREATE, Sight.CREATE, DRAFT)


def test_policies_add_up_row_by_row_and_field_by_field():
    rights = readable([PUBLISHED, OWN], {"$CURRENT_USER": 8})
    seen = view(ARTICLES, rights)

    assert set(seen.cut(article(author=8), NOW)) == set(ARTICLES.names)
    assert seen.cut(article(author=7), NOW) == {"id": 1, "title": "Été", "status": "published"}
    assert not seen.has(article(author=7, status="draft"), NOW)


@pytest.mark.parametrize("given", [{"author": 7}, {"author": {"_neq": 5}}, {"price": {"_null": True}}])
def test_filter_on_a_field_that_is_hidden_in_a_row_does_not_tell_it(given):
    rights = readable([PUBLISHED, OWN], {"$CURRENT_USER": 8})
    seen = view(ARTICLES, rights, {"filter": given})

    assert not seen.has(article(author=7), NOW)
    assert view(ARTICLES, ALL, {"filter": given}).has(article(author=7), NOW)


def test_sort_by_a_field_that_is_hidden_in_a_row_does_not_tell_it():
    rights = readable([PUBLISHED, OWN], {"$CURRENT_USER": 8})
    rows = [
        article(id=1, author=7, price=5),
        article(id=2, author=7, price=1),
        article(id=3, author=8, price=9),
    ]
    by_price = view(ARTICLES, rights, {"sort": "price"}).sort

    assert [row["id"] for row in sorted_rows(rows, by_price, NOW)] == [3, 1, 2]
    assert [row["id"] for row in sorted_rows(rows, view(ARTICLES, ALL, {"sort": "price"}).sort, NOW)] == [
        2,
        1,
        3,
    ]


@pytest.mark.parametrize("query", [{"fields": "id,author"}, {"sort": "-author"}, {"filter": {"author": 7}}])
def test_hidden_field_is_refused_like_one_that_does_not_exist(query):
    missing = {
        name: value.replace("author", "penname") if isinstance(value, str) else {"penname": 7}
        for name, value in query.items()
    }
    rights = readable([PUBLISHED], {})
    texts = []
    for asked in (query, missing):
        with pytest.raises(QueryError) as refused:
            view(ARTICLES, rights, asked)
        assert refused.value.problem is Problem.FIELD
        texts.append(refused.value.message.replace("penname", "author"))

    assert texts[0] == texts[1]


def test_mistake_in_a_policy_is_said_when_it_is_declared():
    with pytest.raises(QueryError, match="no operator '_is'"):
        policy(ARTICLES, rows={"status": {"_is": 1}})
    with pytest.raises(ValueError, match="no field 'nowhere'"):
        policy(ARTICLES, fields=["id", "nowhere"])
    with pytest.raises(QueryError, match="no variable"):
        policy(ARTICLES, rows={"author": "$CURRENT_USER.team"})
    assert policy(ARTICLES, rows={"author": "$CURRENT_USER.team"}, variables={"$CURRENT_USER.team"})


def test_rule_of_fewer_fields_than_are_readable_anyway_is_left_out():
    assert readable([Policy(OWN.rule, frozenset({"id"})), *ALL.policies], {"$CURRENT_USER": 7}) == ALL


# ── changes ──────────────────────────────────────────────────────────────────────────────────────────────

PUBLISHED_TITLES = {"filter": {"status": "published"}, "fields": ["title"]}


@pytest.mark.parametrize(
    ("old", "new", "seen"),
    [
        (None, SHOWN, (Sight.CREATE, Sight.CREATE, {"title": "Été"})),
        (None, DRAFT, None),
        (SHOWN, SHOWN, (Sight.UPDATE, Sight.UPDATE, {"title": "Été"})),
        (DRAFT, SHOWN, (Sight.CREATE, Sight.UPDATE, {"title": "Été"})),
        (SHOWN, DRAFT, (Sight.DELETE, Sight.UPDATE, {"title": "Été"})),
        (DRAFT, DRAFT, None),
        (SHOWN, None, (Sight.DELETE, Sight.DELETE, {"title": "Été"})),
        (DRAFT, None, None),
    ],
)
def test_change_is_seen_as_it_alters_the_view(old, new, seen):
    assert sees(view(ARTICLES, ALL, PUBLISHED_TITLES), old, new) == seen


@pytest.mark.parametrize(("old", "new"), [(None, DRAFT), (DRAFT, None), (DRAFT, DRAFT)])
def test_change_of_a_row_that_may_not_be_read_is_not_seen(old, new):
    assert sees(view(ARTICLES, readable([PUBLISHED], {})), old, new) is None


def test_seen_change_has_its_key_whatever_fields_were_asked_for():
    assert view(ARTICLES, ALL, {"fields": "title"}).sees(SHOWN, None, NOW).key == 1


def test_value_that_its_column_cannot_hold_is_shown_as_null():
    row = ARTICLES.row(b'{"id": 1, "title": "x"}')

    assert view(ARTICLES, ALL, {"fields": "title,price,year(day)"}).cut(row, NOW) == {
        "title": "x",
        "price": None,
        "day_year": None,
    }


# ── fields, sort, limit, search ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        (None, list(ARTICLES.names)),
        ("*", list(ARTICLES.names)),
        ("title, id", ["title", "id"]),
        (["id", "id", "year(created_at)"], ["id", "created_at_year"]),
        (["id", "*"], ["id", *[name for name in ARTICLES.names if name != "id"]]),
    ],
)
def test_fields_are_shown_in_the_order_asked_for(fields, shown):
    assert list(view(ARTICLES, ALL, {"fields": fields}).cut(SHOWN, NOW)) == shown


def _far(query, rights=None):
    mine = rights or {"authors": everything(AUTHORS), "articles": ALL}
    return view(ARTICLES, ALL, query, related=lambda relation: mine[relation.table.name])


def _load(relation, keys):
    if relation.table is AUTHORS:
        return [author(key) for key in keys]
    return [article(id=10, author=7), article(id=11, author=7, status="draft")]


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ("id,author.name", {"id": 1, "author": {"name": "Ana"}}),
        (["id", {"author": ["name"]}], {"id": 1, "author": {"name": "Ana"}}),
        (["author.name", "author.id", "author"], {"author": {"name": "Ana", "id": 7}}),
        ("author.articles.id", {"author": {"articles": [{"id": 10}, {"id": 11}]}}),
    ],
)
def test_fields_of_related_rows_are_nested(fields, shown):
    seen, row = _far({"fields": fields}), article()
    attach([row], seen.needs, _load)

    assert seen.cut(row, NOW) == shown


def test_star_of_all_relations_goes_one_level_deeper():
    seen, row = _far({"fields": "*.*"}), article()
    attach([row], seen.needs, _load)

    assert seen.cut(row, NOW) == article() | {"author": dict(author(7))}


def test_related_row_that_may_not_be_read_is_as_if_it_were_not_there():
    others = policy(AUTHORS, rows={"id": {"_neq": 7}}, fields=["id", "name"])
    rights = {"authors": readable([others], {}), "articles": ALL}
    row, other = article(), article(author=8)
    named = _far({"filter": {"author": {"name": "Ana"}}, "fields": "author.name"}, rights)
    nameless = _far({"filter": {"author": {"name": {"_null": True}}}}, rights)
    for seen in (named, nameless):
        attach([row, other], seen.needs, _load)

    assert [named.has(each, NOW) for each in (row, other)] == [False, True]
    assert [nameless.has(each, NOW) for each in (row, other)] == [True, False]
    assert named.cut(row, NOW) == {"author": None}
    with pytest.raises(QueryError, match="no field 'email', or it is not yours"):
        _far({"fields": "author.email"}, rights)


@pytest.mark.parametrize(
    "query",
    [
        {"fields": 5},
        {"fields": [5]},
        {"fields": {"author": ["id"]}},
        {"fields": [{"author": 5}]},
        {"fields": [{"nowhere": ["id"]}]},
        {"fields": "author.nowhere"},
        {"fields": "nowhere.id"},
        {"fields": "author..id"},
        {"fields": "a," * 300},
        {"fields": "*.*.*.*.*.*.*.*"},
        {"fields": "week(day)"},
        {"sort": 5},
        {"sort": [5]},
        {"sort": ["title"] * 9},
        {"sort": "meta"},
        {"sort": "year(day)"},
        {"sort": "author.name"},
        {"sort": "--id"},
        {"search": ""},
        {"search": 5},
        {"search": "x" * 201},
    ],
)
def test_mistake_in_a_query_is_refused(query):
    with pytest.raises(QueryError):
        _far(query)


@pytest.mark.parametrize(
    ("given", "limit", "offset"),
    [
        ({}, 100, 0),
        ({"limit": "20", "offset": "5"}, 20, 5),
        ({"limit": -1}, None, 0),
        ({"limit": -1, "maximum": 500}, 500, 0),
        ({"limit": 900, "maximum": 500}, 500, 0),
        ({"limit": 0}, 0, 0),
        ({"limit": 20, "page": 3, "offset": 1}, 20, 40),
        ({"limit": -1, "page": 3}, None, 0),
    ],
)
def test_page_is_what_limit_offset_and_page_say(given, limit, offset):
    page = parse_page(**given)

    assert (page.limit, page.offset) == (limit, offset)


@pytest.mark.parametrize(
    "given", [{"limit": -2}, {"limit": "x"}, {"limit": 1.5}, {"offset": -1}, {"page": 0}, {"limit": True}]
)
def test_page_that_is_none_is_refused(given):
    with pytest.raises(QueryError) as refused:
        parse_page(**given)

    assert refused.value.problem is Problem.VALUE


def test_search_looks_into_texts_and_at_numbers():
    rows = [
        article(id=1, title="Un ÉTÉ 12"),
        article(id=12, title="x"),
        article(id=3, author=12, title="12 x"),
    ]

    def found(text, rights=ALL):
        seen = view(ARTICLES, rights, {"search": text})
        return [row["id"] for row in rows if seen.has(row, NOW)]

    assert found("été") == [1]
    assert found("12") == [1, 12, 3]
    assert found("nowhere") == []
    assert found("7", readable([PUBLISHED], {})) == []
