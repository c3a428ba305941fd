"""The events of a collection's topic. They are for renderings to read: no client is sent whole rows."""

from __future__ import annotations

import msgspec

from realtime import Event


class RowChanged(Event, tag="row_changed", frozen=True):
    """A row was created (`old` is null), updated, or deleted (`new` is null)."""

    write: str
    old: msgspec.Raw | None
    new: msgspec.Raw | None
    seq: int = 0


class ChangesMissed(Event, tag="changes_missed", frozen=True):
    """Rows may have changed that nothing was told of: whoever shows some loads them anew."""

    seq: int = 0
