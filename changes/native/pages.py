"""Pages of rows on the native socket: as many as were asked for, or as fit into a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from changes.filters import ENCODER
from changes.watches import Counts
from native.pages import MAX_PAGE_BYTES

NOT_COUNTED = dict.fromkeys(Counts._fields)


def page_of(rows: Sequence[Mapping[str, Any]], size: int, counts: Counts | None = None) -> msgspec.Raw:
    """A page of at most `size` rows, of which one more was read; fewer if they are long, but at least one."""
    fitting: list[bytes] = []
    room = MAX_PAGE_BYTES
    for row in rows[:size]:
        text = ENCODER.encode(row)
        room -= len(text) + 1
        if fitting and room < 0:
            break
        fitting.append(text)
    page: dict[str, Any] = {
        "results": [msgspec.Raw(text) for text in fitting],
        "has_more": len(fitting) < len(rows),
        **(NOT_COUNTED if counts is None else counts._asdict()),
    }
    return msgspec.Raw(ENCODER.encode(page))
