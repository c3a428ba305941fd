"""The number of requests that limits refused; each limit counts under its own name."""

from __future__ import annotations

from realtime.metrics.instruments import Counter

REQUESTS_REFUSED = Counter(
    "relais_requests_refused_total", "Requests answered 429 or 503, by the limit that was reached.", "reason"
)

# Prometheus sees no rise from an absent series to 1: a series that an alert watches exists from the start.
REQUESTS_REFUSED.add("rest", n=0)
