"""Related rows beside rows: who evaluates a view that follows relations attaches them first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from changes.filters.conditions import Needs
from changes.filters.tables import Relation, Row
from changes.filters.values import Value

#: Reads the rows of a relation's table whose column `to` is one of these values.
Load = Callable[[Relation, frozenset[Value]], Iterable[dict[Any, Value]]]


def attach(rows: Iterable[dict[Any, Value]], needs: Needs, load: Load) -> None:
    """Put into each row the related rows that are needed, one `load` for a relation, however many rows."""
    listed = list(rows)
    for relation, further in needs.items():
        name, to = relation.column.name, relation.to.name
        keys = frozenset(row[name] for row in listed if row[name] is not None)
        found = list(load(relation, keys)) if keys else []
        attach(found, further, load)
        by_key: dict[Value, list[Row]] = {}
        for each in found:
            by_key.setdefault(each[to], []).append(each)
        for row in listed:
            row[relation.place] = tuple(by_key.get(row[name], ()))
