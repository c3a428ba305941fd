"""Cursor moves of sockets and REST are gathered per user and conversation, and written together.

A page that reads a thread moves its cursors many times a second, and only the last position matters. So a
move joins the one that already waits for the same user and conversation, and every tenth of a second what
waits is written in one transaction and told with one bell.

LIMIT_CURSORS paces what is written for one user. Moves of sockets wait for their turn, so that the last
position is never lost; REST answers with what is stored, and refuses the excess. Moves of sockets also wait
while the database is away.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Collection
from typing import Any

from django.db import connection

from chat import metrics, services
from chat.limits import allow_cursor
from chat.selectors import Membership, Share
from chat.services import Cursor
from realtime import (
    REQUESTS_REFUSED,
    BatchLoader,
    BusyError,
    OverloadedError,
    RateLimitedError,
    RealtimeError,
    background,
    is_outage,
    remaining,
    run_in_thread,
)

logger = logging.getLogger(__name__)

#: Seconds between two writes: receipts that come ten times a second look smooth.
PERIOD_SECONDS = 0.1
#: Seconds before a failed write is repeated: the first wait, which doubles up to the second number.
RETRY_SECONDS, LONGEST_RETRY_SECONDS = 1.0, 10.0
#: Moves in one transaction: at some 20 µs each it stays as short as a batch of messages.
MAX_BATCH = 200
#: Moves that may wait in this process: about 3 MB. Beyond that a move is refused with `overloaded`.
MAX_WAITING = 10_000
#: Moves of one user that may wait: more conversations than anybody reads at a time.
MAX_WAITING_OF_USER = 200
RETRY_MS = 1_000
#: Seconds that a request waits for the writing lock, unless its deadline says otherwise.
PATIENCE_SECONDS = 5.0


class _Move:
    """A waiting move: how far one user has got in one conversation, as the client says."""

    __slots__ = ("cursor", "is_granted", "is_kept", "outcome")

    def __init__(self) -> None:
        self.cursor = Cursor()
        #: Whether it has taken its turn in LIMIT_CURSORS.
        self.is_granted = False
        #: Whether a socket asked for it: then it is tried until it is stored, since no request waits for an
        #: error.
        self.is_kept = False
        #: The membership after the move, or the error; None while the move waits.
        self.outcome: Membership | Exception | None = None


Batch = dict[Share, _Move]


class CursorMoves:
    """The waiting moves of this process. The synchronous methods may be called from any thread."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], Any] = time.sleep
    ) -> None:
        self._clock, self._sleep = clock, sleep
        #: The waiting moves by user, then by conversation.
        self._waiting: dict[int, dict[int, _Move]] = {}
        self._count = 0
        self._changing = threading.Lock()
        #: Held by the thread that writes; a thread that waits for it may find its move written by the holder.
        self._writing = threading.Lock()
        #: When a user's moves were last written; entries older than a period are dropped.
        self._written: dict[int, float] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Moves that are not written yet."""
        return self._count

    def waits(self, share: Share) -> bool:
        """Whether a move of this user in this conversation is not written yet."""
        return share[1] in self._waiting.get(share[0], ())

    # --- for sockets --------------------------------------------------------------------------------

    def note(self, share: Share, cursor: Cursor) -> None:
        """Have a move written soon. Called on the loop; never waits."""
        self._join(share, cursor, is_kept=True)
        if self._task is None or self._task.done() or self._task.get_loop().is_closed():
            self._task = background.start(self._write_until_nothing_waits())

    async def _write_until_nothing_waits(self) -> None:
        retry, pause = RETRY_SECONDS, PERIOD_SECONDS
        while self._count:
            await asyncio.sleep(pause)
            try:
                pause = max(PERIOD_SECONDS, await run_in_thread(self.write))
                retry = RETRY_SECONDS
            except Exception as error:
                if not isinstance(error, RealtimeError):
                    logger.exception("Cursors could not be written; they are tried again")
                pause, retry = retry, min(2 * retry, LONGEST_RETRY_SECONDS)

    # --- for requests -------------------------------------------------------------------------------

    def move(self, share: Share, cursor: Cursor) -> Membership:
        """Write a move together with all waiting ones, and return the membership after it; waits its turn."""
        try:
            allow_cursor(share[0])
        except RateLimitedError:
            REQUESTS_REFUSED.add("cursors")
            raise
        move = self._join(share, cursor, is_granted=True)
        pause = self._written.get(share[0], -PERIOD_SECONDS) + PERIOD_SECONDS - self._clock()
        if pause > 0:
            if not connection.in_atomic_block:
                connection.close()  # another request may use the connection meanwhile
            self._sleep(pause)
        left = remaining()
        if not self._writing.acquire(timeout=PATIENCE_SECONDS if left is None else left):
            raise BusyError(retry_after_ms=RETRY_MS)
        try:
            if move.outcome is None:
                self._write(self._take(first=share[0])[0])
        finally:
            self._writing.release()
        if not isinstance(move.outcome, Membership):
            raise move.outcome or OverloadedError(retry_after_ms=RETRY_MS)
        return move.outcome

    # --- writing ------------------------------------------------------------------------------------

    def write(self, *, everything: bool = False) -> float:
        """Write the moves whose users have a turn; returns the seconds until the next turn."""
        with self._writing:
            while True:
                batch, pause = self._take(everything=everything)
                self._write(batch)
                if len(batch) < MAX_BATCH:
                    return pause

    def _join(
        self, share: Share, cursor: Cursor, *, is_granted: bool = False, is_kept: bool = False
    ) -> _Move:
        metrics.CURSOR_MOVES.add()
        with self._changing:
            mine = self._waiting.get(share[0], {})
            if share[1] not in mine and len(mine) >= MAX_WAITING_OF_USER:
                raise RateLimitedError(retry_after_ms=RETRY_MS)
            if share[1] not in mine and self._count >= MAX_WAITING:
                raise OverloadedError(retry_after_ms=RETRY_MS)
            return self._put(share, cursor, is_granted=is_granted, is_kept=is_kept)

    def _put(self, share: Share, cursor: Cursor, *, is_granted: bool, is_kept: bool) -> _Move:
        """Join a move with the one that waits for the same user and conversation."""
        user_id, conversation_id = share
        mine = self._waiting.setdefault(user_id, {})
        move = mine.get(conversation_id)
        if move is None:
            move = mine[conversation_id] = _Move()
            self._count += 1
        move.cursor = move.cursor.joined(cursor)
        move.is_granted = move.is_granted or is_granted
        move.is_kept = move.is_kept or is_kept
        return move

    def _take(self, *, first: int | None = None, everything: bool = False) -> tuple[Batch, float]:
        """Take out the moves whose turn has come, user `first` first; and the seconds until the next turn."""
        batch: Batch = {}
        pause = 0.0
        with self._changing:
            for user_id in [*([] if first is None else [first]), *self._waiting]:
                mine = self._waiting.get(user_id, {})
                wait = 0.0
                for conversation_id, move in list(mine.items()):
                    if len(batch) >= MAX_BATCH:
                        return batch, 0.0
                    if not (move.is_granted or everything):
                        wait = wait or _turn_of(user_id)
                        if wait:
                            continue
                    batch[user_id, conversation_id] = mine.pop(conversation_id)
                    self._count -= 1
                if not mine:
                    self._waiting.pop(user_id, None)
                pause = min(pause or wait, wait or pause)
        return batch, pause

    def _write(self, batch: Batch) -> None:
        """Write moves together, or one by one where that fails; raises if the database is away."""
        if not batch:
            return
        try:
            self._store(batch)
        except Exception as error:
            if is_outage(error):
                self._keep(batch, error)
                raise
            if len(batch) == 1:
                self._keep(batch, error)
                logger.exception("A cursor could not be moved")
                return
            # One move that cannot be written must not hold up the others.
            for number, share in enumerate(batch):
                try:
                    self._write({share: batch[share]})
                except Exception as outage:
                    self._keep(dict(list(batch.items())[number + 1 :]), outage)
                    raise

    def _store(self, batch: Batch) -> None:
        outcomes = services.move_cursors({share: move.cursor for share, move in batch.items()})
        now = self._clock()
        written = {user_id: at for user_id, at in self._written.items() if at > now - PERIOD_SECONDS}
        self._written = written | dict.fromkeys((user_id for user_id, _ in batch), now)
        for share, move in batch.items():
            move.outcome = outcomes[share]
        metrics.CURSORS_WRITTEN.add(n=len(batch))

    def _keep(self, batch: Batch, error: Exception) -> None:
        """Answer the requests with the error; in an outage the moves of sockets keep waiting."""
        with self._changing:
            for share, move in batch.items():
                move.outcome = error
                if move.is_kept and is_outage(error):
                    self._put(share, move.cursor, is_granted=True, is_kept=True)


def _turn_of(user_id: int) -> float:
    """Take a turn of LIMIT_CURSORS; 0, or the seconds until a turn is free."""
    try:
        allow_cursor(user_id)
    except RateLimitedError as error:
        return (error.retry_after_ms or 0) / 1000
    return 0.0


MOVES = CursorMoves()
metrics.CURSORS_WAITING.reads(lambda: MOVES.waiting)


def _write_for(shares: Collection[Share]) -> dict[Share, None]:
    MOVES.write()
    return dict.fromkeys(shares)


_settling: BatchLoader[Share, None] = BatchLoader(_write_for)


async def settle(share: Share) -> None:
    """Write the last move of a closing socket; sockets that close together share the write."""
    if MOVES.waits(share):
        await _settling(share)


@background.runs_at_end
async def write_the_rest() -> None:
    """At the end of the process, write all waiting moves without turns."""
    if MOVES.waiting:
        await run_in_thread(MOVES.write, everything=True)
