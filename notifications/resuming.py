"""Resuming in an inbox: the position a client goes on from, and the unread count there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from notifications import selectors
from realtime import Position, Subscription

#: Tries to count while no event arrives; under a steady stream the last count is used.
COUNT_TRIES = 3


def resumed_from(since: Position | None, known: Position, there: Position, floor: int) -> Position | str:
    """The position to resume from, or the reason why the client cannot.

    `known` is the end of the user's own topic, `there` the position at the seq of `since`, and `floor` the
    seq up to which the topic is pruned.
    """
    if since is None or since.seq > known.seq:
        return "unknown_position"
    if since.seq < floor or (since.mark and since.seq == floor):
        return "too_old"
    return since if since.is_at(there) else "unknown_position"


async def counted(own: Subscription, run: Callable[..., Awaitable[Any]]) -> tuple[Position, int]:
    """A position that `own`, the subscription to the user's own topic, has reached, and the unread count
    there.

    Events after the position add to the count.
    """
    user_id = own.user_id
    for _ in range(COUNT_TRIES):
        standing = await run(selectors.standing, user_id)
        told = await own.told(standing.end.seq)
        if told.seq == standing.end.seq:
            break
    # Not beyond the subscription's position, or a resume from there would skip events.
    return (told if told.seq < standing.end.seq else standing.end), standing.unread_count
