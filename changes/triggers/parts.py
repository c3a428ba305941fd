"""Parts of the triggers: a trigger, or the function that it calls."""

from __future__ import annotations

from dataclasses import dataclass

from changes.registry import Watched
from changes.shapes import Field, Shape

#: What the names of all our triggers and functions begin with.
PREFIX = "relais_note_"


@dataclass(frozen=True, slots=True)
class Part:
    """A part as it should be."""

    #: The name of a collection or a rights source.
    collection: str
    #: What it is called, for people too: `trigger relais_note_orders_insert on public.orders`.
    key: str
    #: What has to be the same in the database.
    text: str
    #: The statements that make it, or make it anew.
    create: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Present:
    """A part as the database has it."""

    text: str
    #: The statement that removes it.
    drop: str
    is_disabled: bool = False


def kept_fields(watched: Watched, shape: Shape) -> tuple[Field, ...]:
    """The fields that a note keeps of a row."""
    kept = watched.kept
    return shape.fields if kept is None else tuple(field for field in shape.fields if field.name in kept)
