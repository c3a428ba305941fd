"""Outages: the start and the end of each are logged once: it must not flood the log that explains it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from realtime.metrics.instruments import Counter

logger = logging.getLogger(__name__)

OUTAGES = Counter("relais_outages_total", "How often something we depend on went away.", "what")
# Prometheus sees no rise from an absent series to 1: a series that an alert watches exists from the start.
for what in ("database", "layer", "layer_out"):
    OUTAGES.add(what, n=0)

#: Seconds after which the same failure counts as a new outage. A read-only database fails every write and
#: answers every read in between: that is one outage.
SAME_OUTAGE_SECONDS = 10.0


class Outage:
    """The state of one dependency (a database, a layer), as the calls of its users show it."""

    def __init__(
        self,
        what: str,
        *,
        counted_as: str = "other",
        explain: Callable[[BaseException], str] = repr,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._counted_as = counted_as
        self._explain = explain
        self._clock = clock
        self.is_on = False
        #: The cause that was logged last, and when a failure was noticed last.
        self._logged_cause, self._noticed_at = "", 0.0
        self._is_logged = False

    def noticed(self, error: BaseException) -> None:
        """Report a failure; the first of an outage is logged with its cause."""
        if self.is_on:
            self._noticed_at = self._clock()
            return
        self.is_on = True
        OUTAGES.add(self._counted_as)
        cause, now = self._explain(error.__cause__ or error), self._clock()
        self._is_logged = cause != self._logged_cause or now - self._noticed_at > SAME_OUTAGE_SECONDS
        self._logged_cause, self._noticed_at = cause, now
        if self._is_logged:
            logger.warning("%s is away: %s", self._what, cause)

    def over(self) -> None:
        """Report a success; the first after an outage is logged as its end."""
        if self.is_on:
            self.is_on = False
            if self._is_logged:
                logger.warning("%s is back", self._what)
