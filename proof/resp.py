"""The protocol of Redis, as far as needed to lose, double and swap messages: the bounds of replies."""

from __future__ import annotations

import random

_PUBLISHED = (b"*3\r\n$7\r\nmessage\r\n", b">3\r\n$7\r\nmessage\r\n")


class Mistreats:
    """A filter of Redis's replies: published messages are lost, doubled or swapped; others pass as is."""

    def __init__(
        self, rng: random.Random, *, loses: float = 0.0, doubles: float = 0.0, swaps: float = 0.0
    ) -> None:
        self.rng = rng
        #: The share of messages to mistreat; may change while it runs.
        self.loses, self.doubles, self.swaps = loses, doubles, swaps
        self.seen = self.lost = self.doubled = self.swapped = 0

    def filter(self) -> _Stream:
        """A filter for one connection."""
        return _Stream(self)

    def pass_on(self, replies: list[bytes]) -> list[bytes]:
        """The replies that pass, out of these."""
        passed: list[bytes] = []
        for reply in replies:
            if not reply.startswith(_PUBLISHED):
                passed.append(reply)
                continue
            self.seen += 1
            if self.rng.random() < self.loses:
                self.lost += 1
                continue
            passed.append(reply)
            if self.rng.random() < self.doubles:
                self.doubled += 1
                passed.append(reply)
            if len(passed) > 1 and passed[-2].startswith(_PUBLISHED) and self.rng.random() < self.swaps:
                self.swapped += passed[-2] != passed[-1]  # a message before its own double is in order
                passed[-2:] = passed[:-3:-1]
        return passed


class _Stream:
    def __init__(self, mistreats: Mistreats) -> None:
        self._mistreats = mistreats
        self._rest = b""

    def __call__(self, data: bytes) -> bytes:
        data = self._rest + data
        replies, start = [], 0
        while (end := end_of_reply(data, start)) is not None:
            replies.append(data[start:end])
            start = end
        self._rest = data[start:]
        return b"".join(self._mistreats.pass_on(replies))


def end_of_reply(data: bytes, start: int) -> int | None:
    """The end of the reply that begins at `start`; None while it has not all arrived."""
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
