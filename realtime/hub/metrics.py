"""The instruments of the hub; see `docs/operations/metrics.md`."""

from __future__ import annotations

import time

from realtime.metrics.instruments import LATENCY_SECONDS, Counter, Gauge, Histogram

DELIVERIES = Counter("relais_deliveries_total", "Events written to sockets: frames times sockets.")
DELIVERY_SECONDS = Histogram(
    "relais_delivery_seconds",
    "From the commit of the oldest event of a flush until it was written to the sockets of a worker.",
    LATENCY_SECONDS,
)
EVENTS_BACKFILLED = Counter(
    "relais_events_backfilled_total", "Events the hub read from the log because no bell had brought them."
)
EVENTS_REPLAYED = Counter(
    "relais_events_replayed_total", "Events read from the log by sockets that resumed behind the others."
)
TOPICS = Gauge("relais_topics", "Topics that somebody listens to.")
RINGER_WAITING = Gauge("relais_ringer_waiting_events", "Events waiting for a bell.")
LAYERS_LOST = Gauge("relais_layers_lost", "Workers that do not hear each other: Redis is away.")


def written(told_at: float | None) -> None:
    """Observe the time since the events of a flush were published; None for events from the log."""
    if told_at:
        # Another machine's clock may be ahead of this one's.
        DELIVERY_SECONDS.observe(max(0.0, time.time() - told_at))
