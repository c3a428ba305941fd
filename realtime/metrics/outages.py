"""What is away is said once, and once that it is back: an outage must not flood the log that explains it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from realtime.database import postgresql
from realtime.metrics import core as metrics

logger = logging.getLogger(__name__)


#: Seconds after which the same failure is another outage. What fails for some and works for others in between
#: is one: a database that has become read-only is written to in vain, and read.
SAME_OUTAGE_SECONDS = 10.0


class Outage:
    """The state of one thing that others depend on, as far as their failures tell."""

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
        #: What was last said of it, and when that failure was last noticed.
        self._said, self._noticed_at = "", 0.0
        self._is_said = False

    def noticed(self, error: BaseException) -> None:
        """It failed; who notices first says so, and why."""
        if self.is_on:
            self._noticed_at = self._clock()
            return
        self.is_on = True
        metrics.OUTAGES.add(self._counted_as)
        cause, now = self._explain(error.__cause__ or error), self._clock()
        self._is_said = cause != self._said or now - self._noticed_at > SAME_OUTAGE_SECONDS
        self._said, self._noticed_at = cause, now
        if self._is_said:
            logger.warning("%s is away: %s", self._what, cause)

    def over(self) -> None:
        """It worked."""
        if self.is_on:
            self.is_on = False
            if self._is_said:
                logger.warning("%s is back", self._what)


#: Noticed by whoever uses the database; commands that fail meanwhile answer their senders.
DATABASE = Outage("The database", counted_as="database", explain=postgresql.explained)
