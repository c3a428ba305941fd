"""Fixtures for the tests of the Directus dialect."""

import pytest

from realtime.http import throttling


@pytest.fixture(autouse=True)
def _full_buckets() -> None:
    """Forget all buckets, so that no test is limited by the one before it."""
    for kind in throttling.Limit.__subclasses__():
        kind.buckets.clear()
