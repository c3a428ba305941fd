"""Turns: how much of one user's work is under way at once in the threads that all sockets of a process share.

A socket may ask for many pages in one breath. They are read for it a few at a time, however many sockets its
user has, so that what others ask is not queued behind them.
"""

from __future__ import annotations

import asyncio
import weakref

#: One that is slow does not hold up the next, and most threads are there for others.
AT_ONCE = 2

_turns: weakref.WeakValueDictionary[int, asyncio.Semaphore] = weakref.WeakValueDictionary()


def turn_of(user_id: int) -> asyncio.Semaphore:
    """`async with turn_of(7):` when it is the turn of this user's next work."""
    turns = _turns.get(user_id)
    if turns is None:
        turns = _turns[user_id] = asyncio.Semaphore(AT_ONCE)
    return turns
