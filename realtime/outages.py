"""What is away is said once, and once that it is back: an outage must not flood the log that explains it."""

from __future__ import annotations

import logging

from realtime import metrics

logger = logging.getLogger(__name__)


class Outage:
    """The state of one thing that others depend on, as far as their failures tell."""

    def __init__(self, what: str, *, counted_as: str = "other") -> None:
        self._what = what
        self._counted_as = counted_as
        self.is_on = False

    def noticed(self, error: BaseException) -> None:
        """It failed; who notices first says so."""
        if not self.is_on:
            self.is_on = True
            metrics.OUTAGES.add(self._counted_as)
            logger.warning("%s is away: %r", self._what, error.__cause__ or error)

    def over(self) -> None:
        """It worked."""
        if self.is_on:
            self.is_on = False
            logger.warning("%s is back", self._what)


#: For what the hub reads; commands that fail meanwhile answer their senders.
DATABASE = Outage("The database", counted_as="database")
