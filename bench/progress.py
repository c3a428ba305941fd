"""Progress of a run, for whoever waits for it."""

import sys
import time

_started = time.monotonic()


def say(text: str) -> None:
    """Print a line on standard error, with the time since the start."""
    print(f"{time.monotonic() - _started:6.0f} s  {text}", file=sys.stderr, flush=True)
