"""Where a client that comes back goes on in its inbox, and how much of it is unread there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from notifications import selectors
from realtime import Position, Subscription

#: Tries to count at a moment when nothing more is told; under a steady stream the last count is used.
COUNT_TRIES = 3


def resumed_from(since: Position | None, known: Position, there: Position, floor: int) -> Position | str:
    """The position to resume from, or the reason why that is impossible.

    `known` is the end of the user's own topic, `there` what it has at the seq of `since`, and `floor` how far
    it is gone.
    """
    if since is None or since.seq > known.seq:
        return "unknown_position"
    if since.seq < floor or (since.mark and since.seq == floor):
        return "too_old"
    return since if since.is_at(there) else "unknown_position"


async def counted(own: Subscription, run: Callable[..., Awaitable[Any]]) -> tuple[Position, int]:
    """A position of the user's own topic that was told, and how much is unread: later events add to it."""
    user_id = own.user_id
    for _ in range(COUNT_TRIES):
        standing = await run(selectors.standing, user_id)
        told = await own.told(standing.end.seq)
        if told.seq == standing.end.seq:
            break
    # Not beyond what was told, or a resume from there would skip the rest.
    return (told if told.seq < standing.end.seq else standing.end), standing.unread_count
