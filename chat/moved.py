"""Which conversations moved in this process: told by those who write, taken by the notifier."""

from __future__ import annotations

import threading
from collections.abc import Iterable

_moved: set[int] = set()
_moved_lock = threading.Lock()


def conversations_moved(conversation_ids: Iterable[int]) -> None:
    """Something was said in these; from any thread. In a process without a hub the sweep finds them."""
    with _moved_lock:
        _moved.update(conversation_ids)


def take_moved() -> list[int]:
    """Those that moved since the last call."""
    with _moved_lock:
        taken = sorted(_moved)
        _moved.clear()
    return taken
