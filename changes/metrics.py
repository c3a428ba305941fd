"""The instruments of changes; `docs/operations/metrics.md` explains each to its readers."""

from __future__ import annotations

from changes.registry import collections
from realtime import LATENCY_SECONDS, Counter, Gauge, Histogram

CHANGES = Counter("relais_changes_read_total", "Changes of rows that were moved into the log.", "collection")
DELAY_SECONDS = Histogram(
    "relais_changes_delay_seconds",
    "From the statement of a change until it was in the log; of those that were moved together, the oldest.",
    LATENCY_SECONDS,
)
#: 1 while this worker reads.
READER = Gauge("relais_changes_reader", "Workers that move changes into the log: one of all.")
READER.reads(lambda: {(): READER.value} if collections() else {})
