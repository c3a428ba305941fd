"""The instruments of the bells, which carry events between processes; see `docs/operations/metrics.md`."""

from __future__ import annotations

from realtime.metrics.instruments import Counter

BELLS = Counter(
    "relais_bells_total", "Bells, by what became of them: rung, failed, heard, unreadable.", "outcome"
)
BELL_EVENTS_DROPPED = Counter(
    "relais_bell_events_dropped_total", "Events that no bell took to the other processes: too many waited."
)

# Prometheus sees no rise from an absent series to 1: a series that an alert watches exists from the start.
for outcome in ("rung", "failed", "heard", "unreadable"):
    BELLS.add(outcome, n=0)
