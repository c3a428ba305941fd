"""The count of connections that a server ended because of their peers; see `docs/operations/metrics.md`."""

from __future__ import annotations

from realtime.metrics.instruments import Counter

CONNECTIONS_ENDED = Counter(
    "relais_connections_ended_total", "Connections that a server ended because of its peer.", "reason"
)

# Prometheus sees no rise from nothing to one: a series that an alert watches exists from the start.
for reason in ("bodies", "connections", "connections_per_address"):
    CONNECTIONS_ENDED.add(reason, n=0)
