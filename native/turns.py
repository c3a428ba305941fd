"""Turns: how much of one user's work runs at once in the threads that all sockets of a process share.

A socket may ask for many pages at once. They are read a few at a time, however many sockets the user has, so
that other users' requests do not queue behind them.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Hashable

#: A slow query does not hold up the user's next one, and most threads stay free for others.
AT_ONCE = 2

_turns: weakref.WeakValueDictionary[Hashable, asyncio.Semaphore] = weakref.WeakValueDictionary()


def turn_of(whose: Hashable) -> asyncio.Semaphore:
    """The semaphore of a user, or of a stranger's address: `async with turn_of(7):` waits for a turn."""
    turns = _turns.get(whose)
    if turns is None:
        turns = _turns[whose] = asyncio.Semaphore(AT_ONCE)
    return turns
