"""Turns: how much of one user's work runs at once in the threads that all sockets of a process share.

A socket may ask for many pages at once. They are read a few at a time, however many sockets the user has, so
that other users' requests do not queue behind them.
"""

from __future__ import annotations

import asyncio
import weakref

#: A slow query does not hold up the user's next one, and most threads stay free for others.
AT_ONCE = 2

_turns: weakref.WeakValueDictionary[int, asyncio.Semaphore] = weakref.WeakValueDictionary()


def turn_of(user_id: int) -> asyncio.Semaphore:
    """The user's semaphore: `async with turn_of(7):` waits for the user's turn."""
    turns = _turns.get(user_id)
    if turns is None:
        turns = _turns[user_id] = asyncio.Semaphore(AT_ONCE)
    return turns
