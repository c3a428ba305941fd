"""The instruments of accounts; see `docs/operations/metrics.md`."""

from __future__ import annotations

from realtime import REQUESTS_REFUSED, Gauge

STRANGERS_WAITING = Gauge(
    "relais_strangers_waiting", "Requests without a credential that wait for their turn."
)
PASSWORDS_WAITING = Gauge("relais_passwords_waiting", "Requests that wait for their turn to hash a password.")

# Prometheus sees no rise from nothing to one: a series that an alert watches exists from the start.
for reason in (
    "logins",
    "logins_per_account",
    "logins_per_address",
    "passwords",
    "registrations",
    "strangers",
):
    REQUESTS_REFUSED.add(reason, n=0)
