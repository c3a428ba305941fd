"""The instruments of outboxes; see `docs/operations/metrics.md`."""

from __future__ import annotations

from realtime.metrics.instruments import Counter, Gauge
from realtime.wire.wire import Wire

EVENTS_GIVEN_WAY = Counter(
    "relais_events_given_way_total", "Ephemeral events that a slow reader was spared.", "kind"
)
OUTBOX_WAITING_BYTES = Gauge(
    "relais_outbox_waiting_bytes", "Bytes waiting for readers who let more than 16 KiB wait."
)
OUTBOX_LARGEST_BYTES = Gauge(
    "relais_outbox_largest_bytes", "Bytes waiting for the slowest of these readers.", combine="max"
)

#: The wires with more waiting bytes than usual, which outboxes watch until that is over, or the socket is.
slow_wires: set[Wire] = set()

OUTBOX_WAITING_BYTES.reads(lambda: sum(wire.waiting() for wire in slow_wires))
OUTBOX_LARGEST_BYTES.reads(lambda: max((wire.waiting() for wire in slow_wires), default=0))
