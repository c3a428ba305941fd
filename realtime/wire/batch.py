"""What subscribers of one rendering receive at once: frames, and the bytes they become, made once for all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable

from realtime.wire.frames import MAX_HEADER, Payload, frame_of, size_of

_NOBODY: frozenset[Hashable] = frozenset()


class FrameBatch:
    """Frames in their order, each for all but those that are left out of it."""

    __slots__ = ("_entries", "_kinds", "is_droppable", "joined", "left_out", "size")

    def __init__(self) -> None:
        self._entries: list[tuple[Payload, Collection[Hashable]]] = []
        #: The finished bytes, once somebody has asked for `data`: the outbox of every socket looks here.
        self.joined = b""
        #: The kind of each frame that may be dropped, None of one that may not.
        self._kinds: list[str | None] = []
        #: Everybody who is left out of some frame.
        self.left_out: frozenset[Hashable] = _NOBODY
        #: Bytes on the wire, at most.
        self.size = 0
        #: Whether all of it may be forgotten when a peer is slow.
        self.is_droppable = True

    def add(
        self, payload: Payload, *, left_out: Collection[Hashable] = (), droppable_kind: str | None = None
    ) -> None:
        """Add a frame for all but `left_out`; `droppable_kind` is what one is counted as that gives way."""
        self.size += size_of(payload) + MAX_HEADER
        self._entries.append((payload, left_out))
        self.joined = b""
        if left_out:
            self.left_out = self.left_out.union(left_out)
        self._kinds.append(droppable_kind)
        self.is_droppable = self.is_droppable and droppable_kind is not None

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def droppable_kinds(self) -> list[str]:
        """The kinds of its droppable frames: what is lost where it gives way."""
        return [kind for kind in self._kinds if kind is not None]

    @property
    def payloads(self) -> list[Payload]:
        """The frames, for a server that makes the bytes itself."""
        return [payload for payload, _ in self._entries]

    @property
    def data(self) -> bytes:
        """The finished bytes of all frames, made once."""
        if not self.joined:
            self.joined = b"".join([frame_of(payload) for payload, _ in self._entries])
        return self.joined

    def wrapped(self, wrap: Callable[[Payload], Payload]) -> FrameBatch:
        """The same frames, each in an envelope."""
        batch = FrameBatch()
        for (payload, left_out), kind in zip(self._entries, self._kinds, strict=True):
            batch.add(wrap(payload), left_out=left_out, droppable_kind=kind)
        return batch

    def chunk_for(self, who: Collection[Hashable]) -> FrameBatch:
        """What the subscriber of these names receives: this batch, or less where it is left out of some."""
        if not self.left_out or self.left_out.isdisjoint(who):
            return self
        chunk = FrameBatch()
        for (payload, left_out), kind in zip(self._entries, self._kinds, strict=True):
            if not any(name in left_out for name in who):
                chunk.add(payload, left_out=left_out, droppable_kind=kind)
        return chunk
