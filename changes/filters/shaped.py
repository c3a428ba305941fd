"""Tables as filters know them, made from the shapes that the database has."""

from __future__ import annotations

from changes import shapes
from changes.filters.tables import Column, Table
from changes.filters.values import Kind

#: What has no kind of its own here: a datetime without a zone is one in UTC; of a duration nothing is asked.
_KINDS = {
    shapes.Kind.MOMENT: Kind.DATETIME,
    shapes.Kind.DATETIME: Kind.DATETIME,
    shapes.Kind.DURATION: Kind.OTHER,
}


def table_of(name: str, shape: shapes.Shape) -> Table:
    """The table of a collection, without relations: those are for whoever knows the other tables."""
    return Table(
        name,
        tuple(
            Column(field.name, _KINDS.get(field.kind) or Kind(field.kind.value), db_column=field.column)
            for field in shape.fields
        ),
        key=tuple(field.name for field in shape.key),
        db_table=shape.table,
    )
