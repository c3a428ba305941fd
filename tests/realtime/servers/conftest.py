"""Fixtures of the servers' tests: servers that run an echo, also on the paths of our sockets."""

import pytest


@pytest.fixture(autouse=True)
def _echoes_are_not_judged(unjudged: None) -> None:
    """The contract does not describe an echo, so its frames are not judged."""
