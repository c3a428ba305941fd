"""The events of a collection's topic. They are for renderings to read: no client is sent whole rows."""

from __future__ import annotations

import msgspec

from realtime import Event

#: In place of a row that was not there before, or is not there afterwards.
NO_ROW = msgspec.Raw(b"null")


class RowChanged(Event, tag="row_changed", frozen=True):
    """A row was created (`old` is null), updated, or deleted (`new` is null)."""

    write: str
    #: Its number among the noted changes: a snapshot that saw it wait is not told it again.
    note: int
    #: When its statement ran, in milliseconds since 1970.
    at: int
    old: msgspec.Raw
    new: msgspec.Raw
    #: The related rows that the collection follows, as they were when the change was read (`following`).
    related: dict[str, dict[str, msgspec.Raw]] = {}
    seq: int = 0


class ChangesMissed(Event, tag="changes_missed", frozen=True):
    """Rows may have changed that nothing was told of: whoever shows some loads them anew."""

    note: int
    seq: int = 0


class RightsChanged(Event, tag="rights_changed", frozen=True):
    """What some users may do with the rows changed; null: what everybody may do."""

    users: list[int] | None
    seq: int = 0
