"""Pages on the native socket: as many rows as were asked for, or as many as a frame should hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

#: Bytes of a page: as long as the longest frame of a client, and half of what may wait for one socket.
MAX_PAGE_BYTES = 128 * 1024

_encode = msgspec.json.Encoder().encode


def encoded(result: Any) -> msgspec.Raw:
    """A result as it stands in an answer; encoded once, and where it was read."""
    return msgspec.Raw(_encode(result))


def fitting(page_of: Callable[[int], Any], limit: int) -> msgspec.Raw:
    """A page of at most `limit` rows, encoded; of fewer where those are long. One row always fits.

    The page says itself how to go on: it is asked for again, shorter.
    """
    while True:
        text = _encode(page_of(limit))
        if len(text) <= MAX_PAGE_BYTES or limit <= 1:
            return msgspec.Raw(text)
        limit = max(1, min(limit - 1, limit * MAX_PAGE_BYTES // len(text)))
