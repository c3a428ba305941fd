"""Pages on the native socket: as many rows as the client asks for, or as fit into a frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

#: Bytes of a page: the longest frame of a client, and half of what may wait for one socket.
MAX_PAGE_BYTES = 128 * 1024

_encode = msgspec.json.Encoder().encode


def encoded(result: Any) -> msgspec.Raw:
    """Encode a result once, in the thread that read it."""
    return msgspec.Raw(_encode(result))


def fitting(page_of: Callable[[int], Any], limit: int) -> msgspec.Raw:
    """A page of at most `limit` rows, encoded; fewer if they are long, but at least one.

    Rows are left out by asking for a shorter page, so that the page's own cursor is right.
    """
    while True:
        text = _encode(page_of(limit))
        if len(text) <= MAX_PAGE_BYTES or limit <= 1:
            return msgspec.Raw(text)
        limit = max(1, min(limit - 1, limit * MAX_PAGE_BYTES // len(text)))
