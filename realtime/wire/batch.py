"""A batch holds what sockets of one kind are sent at once: payloads, and the bytes they become, made once."""

from __future__ import annotations

from realtime.wire.frames import MAX_HEADER, Payload, frame_of, size_of


class Batch:
    """Frames in their order, each for all but the user who is left out of it."""

    __slots__ = ("_entries", "_joined", "_spared", "has_exceptions", "is_droppable", "size")

    def __init__(self) -> None:
        #: Each payload, the user who is left out, and the kind that it is counted as where it gives way.
        self._entries: list[tuple[Payload, int | None, str]] = []
        self._joined: bytes | None = None
        #: Frames that were not for those who were just given theirs.
        self._spared = 0
        #: Bytes on the wire, at most.
        self.size = 0
        #: Whether somebody is left out of something.
        self.has_exceptions = False
        #: Whether all of it may be forgotten when a peer is slow.
        self.is_droppable = True

    def add(self, payload: Payload, *, left_out: int | None, droppable: bool, kind: str = "other") -> None:
        """Add a frame for all but the user `left_out`; `kind` is the type of its event."""
        self.size += size_of(payload) + MAX_HEADER
        self._entries.append((payload, left_out, kind))
        self._joined = None
        self.has_exceptions = self.has_exceptions or left_out is not None
        self.is_droppable = self.is_droppable and droppable

    def __len__(self) -> int:
        return len(self._entries)

    def payloads(self, user_id: int) -> list[Payload]:
        """The payloads for one user."""
        payloads = [
            payload for payload, left_out, _ in self._entries if left_out is None or left_out != user_id
        ]
        self._spared += len(self._entries) - len(payloads)
        return payloads

    def kinds(self, user_id: int) -> list[str]:
        """The kind of each frame for one user."""
        return [kind for _, left_out, kind in self._entries if left_out is None or left_out != user_id]

    def told_to(self, sockets: int) -> int:
        """How many frames so many sockets were given just now."""
        told = len(self._entries) * sockets - self._spared
        self._spared = 0
        return told

    def data(self, user_id: int) -> bytes:
        """The frames for one user, joined; made once for all to whom no exception applies."""
        if self.has_exceptions and any(left_out == user_id for _, left_out, _ in self._entries):
            return b"".join(map(frame_of, self.payloads(user_id)))
        if self._joined is None:
            self._joined = b"".join([frame_of(payload) for payload, _, _ in self._entries])
        return self._joined
