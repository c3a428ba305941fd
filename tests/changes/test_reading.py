"""Rows are read from tables whatever their columns are called."""

import datetime as dt

from changes import reading
from changes.filters import Page, everything, view
from changes.opened import opened
from tests.changes.conftest import run


def test_columns_that_are_called_as_the_queries_call_theirs(table):
    table("things", "id integer PRIMARY KEY, shown text, row_ text")
    run("INSERT INTO things VALUES (1, 'a', 'b')")
    things = opened("things").table

    rows = reading.rows_of(view(things, everything(things)), Page(10), dt.datetime.now(dt.UTC))
    assert rows == [{"id": 1, "shown": "a", "row_": "b"}]
