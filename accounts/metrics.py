"""What accounts count about themselves; `docs/operations/metrics.md` explains each to who reads it."""

from __future__ import annotations

from realtime.metrics.instruments import Gauge

STRANGERS_WAITING = Gauge(
    "relais_strangers_waiting", "Requests without a credential that wait for their turn."
)
PASSWORDS_WAITING = Gauge("relais_passwords_waiting", "Requests that wait for their turn to hash a password.")
