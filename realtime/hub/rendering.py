"""How a kind of socket is told an event: as it is, in other words, or not at all."""

from __future__ import annotations

import logging
from typing import Protocol

from realtime.events import Delivery
from realtime.wire.batch import Batch

logger = logging.getLogger(__name__)


class Framing(Protocol):
    """One object per kind of socket, so that an event is framed once for all of them."""

    def frame(self, delivery: Delivery) -> str | None:
        """The text to send, or None when this kind of socket is not told."""

    def not_for(self, delivery: Delivery) -> int | None:
        """The user who is left out, if any."""


class Everything:
    """Tells each event as it is."""

    def frame(self, delivery: Delivery) -> str | None:
        return delivery.body

    def not_for(self, delivery: Delivery) -> int | None:
        return None


class Nothing:
    """Tells nothing: for sockets that listen to a topic only for the reactions it causes."""

    def frame(self, delivery: Delivery) -> str | None:
        return None

    def not_for(self, delivery: Delivery) -> int | None:
        return None


EVERYTHING, NOTHING = Everything(), Nothing()


def add_framed(batch: Batch, framing: Framing, delivery: Delivery) -> None:
    """Add an event to what a kind of socket is told; a failing framing keeps nobody else waiting."""
    try:
        frame = framing.frame(delivery)
        if frame is not None:
            left_out, is_droppable = framing.not_for(delivery), delivery.seq is None
            batch.add(frame, left_out=left_out, droppable=is_droppable, kind=delivery.type)
    except Exception:
        logger.exception("An event of %s could not be told to some sockets", delivery.topic)
