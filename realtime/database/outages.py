"""The outage of the database, as all that use it know it."""

from __future__ import annotations

from realtime.database import postgresql
from realtime.metrics.outages import Outage

#: Whoever uses the database reports here what failed and what worked.
DATABASE = Outage("The database", counted_as="database", explain=postgresql.explained)
