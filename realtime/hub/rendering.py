"""A rendering turns events into the frames that one kind of subscriber receives, or drops them.

Renderings are values: subscribers whose renderings are equal receive the same bytes, made once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple, Protocol

from realtime.events import Delivery
from realtime.wire.batch import FrameBatch
from realtime.wire.frames import Payload

logger = logging.getLogger(__name__)


class Frame(NamedTuple):
    """A text or binary frame, and who does not receive it: ids of users, or names of subscriptions."""

    payload: Payload
    left_out: Collection[Hashable] = ()


class Rendering(Protocol):
    """A frozen value, compared and hashed by what it holds."""

    def render(self, write: Sequence[Delivery]) -> Iterable[Frame]:
        """The frames for the events of one write. It runs on the loop: no database, no waiting."""

    def __hash__(self) -> int: ...


def chosen(rendering: Rendering) -> Rendering:
    """The rendering itself; raises TypeError for an object that is none."""
    if isinstance(rendering, type) or not callable(getattr(rendering, "render", None)):
        raise TypeError(f"Expected a rendering, as EVERYTHING or NOTHING are, got {rendering!r}")
    try:
        hash(rendering)
    except TypeError:
        message = f"{type(rendering).__name__} is no value: make it a dataclass with frozen=True"
        raise TypeError(message) from None
    return rendering


@dataclass(frozen=True, slots=True)
class Everything:
    """Renders each event as it is."""

    def render(self, write: Sequence[Delivery]) -> Iterable[Frame]:
        return [Frame(event.body) for event in write]


@dataclass(frozen=True, slots=True)
class Nothing:
    """Renders nothing: for a subscription that is there for reactions alone."""

    def render(self, write: Sequence[Delivery]) -> Iterable[Frame]:
        return ()


@dataclass(frozen=True, slots=True)
class OnlyTypes:
    """Renders the events of some types as they are, and no others."""

    types: frozenset[str]

    def render(self, write: Sequence[Delivery]) -> Iterable[Frame]:
        return [Frame(event.body) for event in write if event.type in self.types]


@dataclass(frozen=True, slots=True)
class Enveloped:
    """Puts each frame of another rendering into an envelope.

    The inner frames are made once for all envelopes around them, and equal envelopes share finished bytes.
    """

    inner: Rendering
    envelope: Envelope

    def render(self, write: Sequence[Delivery]) -> Iterable[Frame]:
        return self.wrapped(self.inner.render(write))

    def wrapped(self, frames: Iterable[Frame]) -> list[Frame]:
        """The given frames of the inner rendering in the envelope."""
        return [Frame(self.envelope.wrap(frame.payload), frame.left_out) for frame in frames]


class Envelope(Protocol):
    """A frozen value that wraps a payload in what a dialect sends around it."""

    def wrap(self, payload: Payload) -> Payload: ...

    def __hash__(self) -> int: ...


EVERYTHING, NOTHING = Everything(), Nothing()


class Stretch:
    """Events of one topic that are written together, and their frames: one batch per rendering."""

    __slots__ = ("_batches", "_frames", "_writes", "deliveries")

    def __init__(self, deliveries: Sequence[Delivery]) -> None:
        self.deliveries = deliveries
        self._batches: dict[Rendering, FrameBatch] = {}
        #: The frames of each write, by rendering; kept for renderings that others wrap.
        self._frames: dict[Rendering, list[list[Frame]]] = {}
        self._writes: list[Sequence[Delivery]] | None = None

    def batch(self, rendering: Rendering) -> FrameBatch:
        """The batch for subscribers of a rendering."""
        batch = self._batches.get(rendering)
        if batch is None:
            batch = self._batches[rendering] = FrameBatch()
            for write, frames in zip(self.by_write(), self._rendered(rendering), strict=True):
                # An event without a seq is not kept anywhere, so it may be dropped for a slow reader.
                kind = write[0].type if write[0].seq is None else None
                for frame in frames:
                    try:
                        batch.add(frame.payload, left_out=frame.left_out, droppable_kind=kind)
                    except Exception as error:  # noqa: BLE001 - told by _failed: a text that no frame can hold
                        self._failed(error)
        return batch

    def _rendered(self, rendering: Rendering) -> list[list[Frame]]:
        if not isinstance(rendering, Enveloped):
            return [self._safely(rendering.render, write) for write in self.by_write()]
        inner = self._frames.get(rendering.inner)
        if inner is None:
            inner = self._frames[rendering.inner] = self._rendered(rendering.inner)
        return [self._safely(rendering.wrapped, frames) for frames in inner]

    def _safely(self, render: Callable[..., Iterable[Frame]], what: object) -> list[Frame]:
        """The frames; a rendering that fails is logged, and holds up no other."""
        try:
            return list(render(what))
        except Exception as error:  # noqa: BLE001 - told by _failed
            self._failed(error)
            return []

    def _failed(self, error: Exception) -> None:
        topic = self.deliveries[0].topic
        logger.error("An event of %s could not be rendered for some sockets", topic, exc_info=error)

    def by_write(self) -> list[Sequence[Delivery]]:
        """The events in their order, grouped by write. An event without a mark is a write of its own."""
        if self._writes is None:
            if len(self.deliveries) == 1:
                self._writes = [self.deliveries]
            else:
                marked = groupby(enumerate(self.deliveries), key=lambda item: item[1].write or item[0])
                self._writes = [[delivery for _, delivery in group] for _, group in marked]
        return self._writes
