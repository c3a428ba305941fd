"""Who may write what: the row before and the row after have to be theirs, and so has every field."""

from __future__ import annotations

import pytest

from accounts.models import User
from changes import allow, anybody, items, signed_in, watch
from changes.errors import UnknownCollectionError
from changes.filters import QueryError
from changes.items import RowNotAllowedError, RowNotFoundError
from realtime import NotAllowedError
from tests.changes.conftest import run
from tests.changes.items.conftest import shown

MINE = {"owner": "$CURRENT_USER"}


def rows(name):
    """Title, state and owner of all rows."""
    return [(row["title"], row["state"], row["owner"]) for row in shown(name)]


@pytest.fixture
def notes(table):
    """Makes a table of notes with these rights."""

    def make(*rights):
        columns = "id integer PRIMARY KEY, title text, state text DEFAULT 'draft', owner integer, secret text"
        return table("notes", columns, rights=rights)

    return make


def add(*rows_):
    for row in rows_:
        run("INSERT INTO notes (id, title, state, owner) VALUES (%s, %s, %s, %s)", *row)


def test_superuser_writes_everything_without_a_right(notes, root):
    notes()
    items.create(root, "notes", {"id": 1, "secret": "x"})
    items.update(root, "notes", {"owner": 7}, keys=[1])

    assert rows("notes") == [(None, "draft", 7)]
    assert items.delete(root, "notes", keys=[1]) == [1]


def test_who_may_do_nothing_there_is_told_of_no_collection(notes, ana):
    notes(allow("read", "create", "update", "delete", to=lambda user: user and user.username == "bruno"))
    for user in (ana, None):
        for write in (
            lambda user=user: items.create(user, "notes", {"id": 1}),
            lambda user=user: items.update(user, "notes", {"title": "x"}, keys=[1]),
            lambda user=user: items.update_each(user, "notes", [{"id": 1}]),
            lambda user=user: items.delete(user, "notes", keys=[1]),
        ):
            with pytest.raises(UnknownCollectionError):
                write()
    with pytest.raises(UnknownCollectionError):
        items.create(ana, "no_such_collection", {"id": 1})


def test_who_may_only_read_is_told_so(notes, ana):
    notes(allow("read", to=signed_in))
    for write in (
        lambda: items.create(ana, "notes", {"id": 1}),
        lambda: items.update(ana, "notes", {"title": "x"}, keys=[1]),
        lambda: items.delete(ana, "notes", keys=[1]),
    ):
        with pytest.raises(NotAllowedError, match="rows of notes"):
            write()


def test_account_that_is_switched_off_writes_nothing(notes, ana):
    notes(allow("read", "create", to=anybody))
    User.objects.filter(pk=ana.pk).update(is_active=False)
    ana.refresh_from_db()

    with pytest.raises(UnknownCollectionError):
        items.create(ana, "notes", {"id": 1})


def test_nobody_writes_where_everybody_may(notes):
    notes(allow("create", to=anybody))
    assert items.create(None, "notes", {"id": 1, "title": "a"}) == [1]


def test_row_that_is_created_has_to_be_ones_own(notes, ana):
    notes(allow("create", to=signed_in, rows=MINE))
    items.create(ana, "notes", {"id": 1, "owner": ana.pk})
    for owner in (ana.pk + 1, None):
        with pytest.raises(RowNotAllowedError):
            items.create(ana, "notes", [{"id": 2, "owner": ana.pk}, {"id": 3, "owner": owner}])

    assert rows("notes") == [(None, "draft", ana.pk)]


def test_default_of_the_table_counts_for_the_right(notes, ana):
    notes(allow("create", to=signed_in, rows={"state": "draft"}))
    items.create(ana, "notes", {"id": 1})
    with pytest.raises(RowNotAllowedError):
        items.create(ana, "notes", {"id": 2, "state": "published"})

    assert len(shown("notes")) == 1


def test_field_beside_the_right_is_as_if_it_did_not_exist(notes, ana):
    notes(
        allow("read", to=signed_in),
        allow("create", "update", to=signed_in, fields=["id", "title"]),
    )
    items.create(ana, "notes", {"id": 1, "title": "a"})
    for name in ("secret", "owner", "no_such_field"):
        with pytest.raises(QueryError) as created:
            items.create(ana, "notes", {"id": 2, name: "x"})
        with pytest.raises(QueryError) as updated:
            items.update(ana, "notes", {name: "x"}, keys=[1])
        said = f"There is no field {name!r}, or it is not yours to write."
        assert created.value.message == updated.value.message == said


def test_key_takes_the_right_to_its_field(notes, ana):
    notes(allow("create", to=signed_in, fields=["title"]))
    with pytest.raises(QueryError):
        items.create(ana, "notes", {"id": 5, "title": "a"})


def test_row_of_somebody_else_is_like_one_that_does_not_exist(notes, ana, bruno):
    notes(allow("read", "update", "delete", to=signed_in, rows=MINE))
    add((1, "a", "draft", ana.pk), (2, "b", "draft", bruno.pk))
    said = set()
    for key in (2, 3):
        for write in (
            lambda key=key: items.update(ana, "notes", {"title": "x"}, keys=[1, key]),
            lambda key=key: items.update_each(ana, "notes", [{"id": key, "title": "x"}]),
            lambda key=key: items.delete(ana, "notes", keys=[1, key]),
        ):
            with pytest.raises(RowNotFoundError) as refused:
                write()
            said.add(refused.value.message)

    assert len(said) == 1
    assert rows("notes") == [("a", "draft", ana.pk), ("b", "draft", bruno.pk)]


def test_row_that_may_be_read_but_not_written_is_one_too(notes, ana, bruno):
    notes(allow("read", to=signed_in), allow("update", "delete", to=signed_in, rows=MINE))
    add((1, "a", "draft", bruno.pk))
    with pytest.raises(RowNotFoundError):
        items.update(ana, "notes", {"title": "x"}, keys=[1])
    with pytest.raises(RowNotFoundError):
        items.delete(ana, "notes", keys=[1])


def test_row_that_may_be_written_but_not_read_is_one_too(notes, ana, bruno):
    notes(allow("read", to=signed_in, rows=MINE), allow("update", "delete", to=signed_in))
    add((1, "a", "draft", bruno.pk))
    with pytest.raises(RowNotFoundError):
        items.update(ana, "notes", {"title": "x"}, keys=[1])
    with pytest.raises(RowNotFoundError):
        items.delete(ana, "notes", keys=[1])
    assert items.delete(ana, "notes", matching={}) == []


def test_row_may_not_be_given_away_by_an_update(notes, ana, bruno):
    notes(allow("read", to=signed_in), allow("update", to=signed_in, rows=MINE))
    add((1, "a", "draft", ana.pk), (2, "b", "draft", ana.pk))
    for write in (
        lambda: items.update(ana, "notes", {"owner": bruno.pk}, keys=[1]),
        lambda: items.update(ana, "notes", {"owner": None}, matching={"title": "a"}),
        lambda: items.update_each(ana, "notes", [{"id": 2, "title": "z"}, {"id": 1, "owner": bruno.pk}]),
    ):
        with pytest.raises(RowNotAllowedError):
            write()

    assert rows("notes") == [("a", "draft", ana.pk), ("b", "draft", ana.pk)]


def test_row_may_leave_what_its_writer_reads(notes, ana):
    notes(allow("read", to=signed_in, rows={"state": "draft"}), allow("update", to=signed_in))
    add((1, "a", "draft", ana.pk))

    assert items.update(ana, "notes", {"state": "done"}, keys=[1]) == [1]


def test_filter_finds_what_may_be_read_and_written_and_nothing_else(notes, ana, bruno):
    notes(
        allow("read", to=signed_in, rows={"state": "draft"}, fields=["id", "title", "state"]),
        allow("update", "delete", to=signed_in, rows=MINE),
    )
    add((1, "a", "draft", ana.pk), (2, "b", "draft", bruno.pk), (3, "c", "hidden", ana.pk))

    assert items.update(ana, "notes", {"title": "z"}, matching={}) == [1]
    assert rows("notes") == [
        ("z", "draft", ana.pk),
        ("b", "draft", bruno.pk),
        ("c", "hidden", ana.pk),
    ]
    with pytest.raises(QueryError, match="not yours to read"):  # or it could be guessed by what is deleted
        items.delete(ana, "notes", matching={"secret": {"_starts_with": "a"}})
    assert items.delete(ana, "notes", matching={"state": {"_in": ["draft", "hidden"]}}) == [1]


def test_filter_knows_who_asks(notes, ana, bruno):
    notes(allow("read", "delete", to=signed_in))
    add((1, "a", "draft", ana.pk), (2, "b", "draft", bruno.pk))

    assert items.delete(bruno, "notes", matching=MINE) == [2]


def test_rights_add_up_row_by_row_and_field_by_field(notes, ana, bruno):
    notes(
        allow("read", to=signed_in),
        allow("update", to=signed_in, fields=["title"]),
        allow("update", to=signed_in, rows=MINE, fields=["state"]),
    )
    add((1, "a", "draft", ana.pk), (2, "b", "draft", bruno.pk))

    assert items.update(ana, "notes", {"title": "x"}, keys=[1, 2]) == [1, 2]
    assert items.update(ana, "notes", {"title": "y", "state": "done"}, keys=[1]) == [1]
    for write in (
        lambda: items.update(ana, "notes", {"state": "done"}, keys=[2]),
        lambda: items.update(ana, "notes", {"title": "z", "state": "done"}, keys=[1, 2]),
        lambda: items.update_each(ana, "notes", [{"id": 1, "state": "gone"}, {"id": 2, "state": "done"}]),
    ):
        with pytest.raises(RowNotFoundError):
            write()
    assert items.update(ana, "notes", {"state": "end"}, matching={}) == [1]
    assert items.update_each(ana, "notes", [{"id": 1, "state": "own"}, {"id": 2, "title": "w"}]) == [1, 2]
    assert rows("notes") == [("y", "own", ana.pk), ("w", "draft", bruno.pk)]


def test_rights_of_a_new_row_add_up_as_well(notes, ana, bruno):
    notes(
        allow("create", to=signed_in, fields=["id", "title", "owner"]),
        allow("create", to=signed_in, rows=MINE, fields=["state"]),
    )
    items.create(ana, "notes", [{"id": 1, "owner": bruno.pk}, {"id": 2, "owner": ana.pk, "state": "done"}])
    with pytest.raises(RowNotAllowedError):
        items.create(ana, "notes", {"id": 3, "owner": bruno.pk, "state": "done"})

    assert rows("notes") == [(None, "draft", bruno.pk), (None, "done", ana.pk)]


def test_right_may_depend_on_a_related_row(table, notes, ana):
    table("states", "name text PRIMARY KEY, is_open boolean")
    columns = "id integer PRIMARY KEY, state text REFERENCES states (name), title text"
    table(
        "tickets",
        columns,
        rights=[
            allow("read", to=signed_in),
            allow("create", "update", "delete", to=signed_in, rows={"state": {"is_open": True}}),
        ],
    )
    run("INSERT INTO states VALUES ('new', true), ('closed', false)")

    assert items.create(ana, "tickets", [{"id": 1, "state": "new"}, {"id": 2, "state": "new"}]) == [1, 2]
    with pytest.raises(RowNotAllowedError):
        items.create(ana, "tickets", {"id": 3, "state": "closed"})
    with pytest.raises(RowNotAllowedError):
        items.update(ana, "tickets", {"state": "closed"}, keys=[1])
    run("INSERT INTO tickets VALUES (4, 'closed', 'x')")
    with pytest.raises(RowNotFoundError):
        items.update(ana, "tickets", {"state": "new"}, keys=[4])
    assert items.delete(ana, "tickets", matching={}) == [1, 2]


def test_foreign_key_may_lead_to_a_row_that_its_writer_does_not_see(table, ana):
    table("hidden", "id integer PRIMARY KEY")
    table(
        "leading",
        "id integer PRIMARY KEY, hidden integer REFERENCES hidden (id)",
        rights=[allow("create", to=signed_in)],
    )
    run("INSERT INTO hidden VALUES (5)")

    assert items.create(ana, "leading", {"id": 1, "hidden": 5}) == [1]


def test_rights_hold_for_models_too(declare, ana, bruno):
    from demo.models import Article

    declare(
        watch,
        Article,
        name="articles",
        rights=[
            allow("read", to=signed_in),
            allow("create", "update", "delete", to=signed_in, rows={"author": "$CURRENT_USER"}),
        ],
    )
    theirs = Article.objects.create(title="theirs", author=bruno)
    [mine] = items.create(ana, "articles", {"title": "a", "author": ana.pk})
    for write in (
        lambda: items.create(ana, "articles", {"title": "b", "author": bruno.pk}),
        lambda: items.update(ana, "articles", {"author": bruno.pk}, keys=[mine]),
    ):
        with pytest.raises(RowNotAllowedError):
            write()
    for write in (
        lambda: items.update(ana, "articles", {"title": "x"}, keys=[mine, theirs.pk]),
        lambda: items.delete(ana, "articles", keys=[mine, theirs.pk]),
    ):
        with pytest.raises(RowNotFoundError):
            write()

    assert sorted(Article.objects.values_list("title", "author")) == [("a", ana.pk), ("theirs", bruno.pk)]
    assert items.delete(ana, "articles", matching={}) == [mine]
