"""Redis's protocol, as far as losing messages on purpose needs it: where one reply ends and the next begins."""

from __future__ import annotations

import random

_PUBLISHED = (b"*3\r\n$7\r\nmessage\r\n", b">3\r\n$7\r\nmessage\r\n")


class Loses:
    """A filter of what Redis says: some of the published messages are gone, and nothing else is touched."""

    def __init__(self, share: float, rng: random.Random) -> None:
        self.share, self.rng = share, rng
        self.seen = self.lost = 0

    def filter(self) -> _Stream:
        """For one connection."""
        return _Stream(self)

    def takes(self, reply: bytes) -> bool:
        """Whether this reply is lost."""
        if not reply.startswith(_PUBLISHED):
            return False
        self.seen += 1
        is_lost = self.rng.random() < self.share
        self.lost += is_lost
        return is_lost


class _Stream:
    def __init__(self, loses: Loses) -> None:
        self._loses = loses
        self._rest = b""

    def __call__(self, data: bytes) -> bytes:
        data = self._rest + data
        kept, start = [], 0
        while (end := end_of_reply(data, start)) is not None:
            reply = data[start:end]
            if not self._loses.takes(reply):
                kept.append(reply)
            start = end
        self._rest = data[start:]
        return b"".join(kept)


def end_of_reply(data: bytes, start: int) -> int | None:
    """Where the reply that begins at `start` ends; None when it has not all arrived."""
    line_end = data.find(b"\r\n", start)
    if line_end < 0:
        return None
    kind, end = data[start : start + 1], line_end + 2
    if kind in b"$=!":
        length = int(data[start + 1 : line_end])
        end += length + 2 if length >= 0 else 0
    elif kind in b"*~>%|":
        parts = int(data[start + 1 : line_end]) * (2 if kind in b"%|" else 1)
        for _ in range(parts):
            found = end_of_reply(data, end)
            if found is None:
                return None
            end = found
    return end if end <= len(data) else None
