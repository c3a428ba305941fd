"""The instruments of the database threads: they count and time calls; see `docs/operations/metrics.md`."""

from __future__ import annotations

from realtime.metrics.instruments import Counter, Gauge

DATABASE_BUSY = Gauge("relais_database_threads_busy", "Database threads of the sockets that have a call.")
DATABASE_WAITING = Gauge("relais_database_calls_waiting", "Calls of sockets waiting for a database thread.")
DATABASE_FAILED = Counter("relais_database_calls_failed_total", "Calls that found the database away.")
