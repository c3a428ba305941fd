"""Writing rows of a collection for a user, whatever dialect asks for it.

    [key] = create(user, "articles", {"title": "Été"})
    update(user, "articles", {"status": "published"}, keys=[key])
    update_each(user, "articles", [{"id": key, "title": "Hiver"}])
    delete(user, "articles", matching={"status": {"_eq": "archived"}})

Each call is one transaction: all of its rows, or none. It is synchronous, for a database thread, and returns
keys; whoever asks reads the rows with their own right to read. What is allowed is in
`docs/subsystems/changes.md`.

    given_rows  rows as they were given; `given_values`, what columns hold of them
    target      the collection, and what the user may do there
    tables      rows written by SQL; `instances`, rows of a model
    refusals    what the database or an app refuses, as errors
"""

from changes.items.errors import (
    InvalidRowError,
    ProblemKind,
    RowNotAllowedError,
    RowNotFoundError,
    RowProblem,
    TooManyRowsError,
)
from changes.items.given_rows import MAX_BYTES, MAX_ROWS
from changes.items.writing import create, delete, update, update_each

__all__ = [
    "MAX_BYTES",
    "MAX_ROWS",
    "InvalidRowError",
    "ProblemKind",
    "RowNotAllowedError",
    "RowNotFoundError",
    "RowProblem",
    "TooManyRowsError",
    "create",
    "delete",
    "update",
    "update_each",
]
