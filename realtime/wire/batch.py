"""A batch of frames for the subscribers of one rendering; its bytes are made once for all of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable

from realtime.wire.frames import MAX_HEADER, Payload, frame_of, size_of

_NOBODY: frozenset[Hashable] = frozenset()


class FrameBatch:
    """Frames in their order; each may leave out some subscribers."""

    __slots__ = ("_entries", "_kinds", "is_droppable", "joined", "left_out", "size")

    def __init__(self) -> None:
        self._entries: list[tuple[Payload, Collection[Hashable]]] = []
        #: The finished bytes, once `data` has made them; outboxes look here first.
        self.joined = b""
        #: The kind of each droppable frame; None for a frame that must not be dropped.
        self._kinds: list[str | None] = []
        #: All names that some frame leaves out.
        self.left_out: frozenset[Hashable] = _NOBODY
        #: Bytes on the wire, at most.
        self.size = 0
        #: Whether every frame may be dropped when a peer is slow.
        self.is_droppable = True

    def add(
        self, payload: Payload, *, left_out: Collection[Hashable] = (), droppable_kind: str | None = None
    ) -> None:
        """Add a frame for all but `left_out`. With a `droppable_kind` it may be dropped, counted by kind."""
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
        """The kinds of the droppable frames, which are counted when the batch is dropped."""
        return [kind for kind in self._kinds if kind is not None]

    @property
    def payloads(self) -> list[Payload]:
        """The payloads, for a server that makes the frames itself."""
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
        """The frames for a subscriber of these names: this batch, or one without those that skip it."""
        if not self.left_out or self.left_out.isdisjoint(who):
            return self
        chunk = FrameBatch()
        for (payload, left_out), kind in zip(self._entries, self._kinds, strict=True):
            if not any(name in left_out for name in who):
                chunk.add(payload, left_out=left_out, droppable_kind=kind)
        return chunk
