"""The outage of the database, shared by all code that uses it."""

from __future__ import annotations

from realtime.database import postgresql
from realtime.metrics.outages import Outage

#: All users of the database report here which calls failed and which worked.
DATABASE = Outage("The database", counted_as="database", explain=postgresql.explained)
