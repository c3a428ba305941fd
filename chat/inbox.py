"""The inbox: what all sockets of this process send, committed together.

A batch starts at once when none is in flight; what arrives meanwhile is the next one, which begins after a
short rest unless it is full. So the batch grows with the load by itself, and an idle server adds no delay.

A conversation that another transaction holds does not hold the batch: its drafts leave it, wait for the
lock in a transaction beside the batches, and whatever is sent to it meanwhile waits behind them.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from chat import metrics
from chat.services import Draft, Outcome, send_messages
from realtime import (
    ANSWER_SECONDS,
    LOCK_SECONDS,
    QUEUE_SECONDS,
    SHORT_LOCK_SECONDS,
    BusyError,
    OverloadedError,
    RealtimeError,
    UnavailableError,
    UncertainError,
    background,
    run_in_thread,
)

logger = logging.getLogger(__name__)

#: Drafts in one transaction: enough to spread a commit's cost, few enough to keep it short.
MAX_BATCH = 64
#: Drafts without an answer; past it senders are told to come back rather than kept waiting.
MAX_WAITING = 1_000
#: Bytes of these drafts: a thousand of usual length are one megabyte, a thousand of the longest 32.
MAX_WAITING_BYTES = 8 * 1024 * 1024
#: Transactions that wait for locks at the same time, short waits and long ones: who stays held must not be in
#: the way of what is held for a moment, and the other database threads go on serving.
MAX_SHORT_WAITS, MAX_LONG_WAITS = 2, 2
RETRY_MS = 1_000
#: Seconds of rest between two batches, at most; as long as the one before took. What arrives meanwhile costs
#: no transaction of its own.
MAX_REST_SECONDS = 0.002


class _Send:
    """A draft on its way, and what its sender is told when nothing better is known in time."""

    __slots__ = ("draft", "future", "otherwise", "timer")

    def __init__(self, draft: Draft, loop: asyncio.AbstractEventLoop) -> None:
        self.draft = draft
        self.future: asyncio.Future[Outcome] = loop.create_future()
        self.otherwise: type[RealtimeError] = UnavailableError
        self.timer = loop.call_later(ANSWER_SECONDS, self._give_up)

    def answer(self, outcome: Outcome) -> None:
        self.timer.cancel()
        if not self.future.done():
            self.future.set_result(outcome)

    def _give_up(self) -> None:
        self.answer(self.otherwise(retry_after_ms=RETRY_MS))

    @property
    def was_given_up(self) -> bool:
        """Its sender was told that it was not stored; one whose socket closed is stored all the same."""
        return self.future.done() and not self.future.cancelled()


class Inbox:
    """One per event loop; `Inbox.current()` makes it."""

    _inboxes: ClassVar[dict[asyncio.AbstractEventLoop, Inbox]] = {}

    def __init__(self) -> None:
        self._unanswered = 0
        self._unanswered_bytes = 0
        self._waiting: deque[_Send] = deque()
        self._task: asyncio.Task[None] | None = None
        #: When the batch in flight began.
        self._began = 0.0
        #: What those are told who would wait too long: what the last batch found.
        self._refusal: type[RealtimeError] = OverloadedError
        #: Conversations that another transaction holds, with what waits for each, in order.
        self._held: dict[int, list[_Send]] = {}
        self._short_waits = asyncio.Semaphore(MAX_SHORT_WAITS)
        self._long_waits = asyncio.Semaphore(MAX_LONG_WAITS)

    @classmethod
    def current(cls) -> Inbox:
        loop = asyncio.get_running_loop()
        inbox = cls._inboxes.get(loop)
        if inbox is None:
            cls._inboxes = {other: inbox for other, inbox in cls._inboxes.items() if not other.is_closed()}
            inbox = cls._inboxes[loop] = cls()
        return inbox

    def submit(self, draft: Draft) -> asyncio.Future[Outcome]:
        """Queue a draft; its outcome comes after the commit, whether or not the socket still lives."""
        held = self._held.get(draft.conversation_id)
        size = sys.getsizeof(draft.content)
        if self._unanswered >= MAX_WAITING or self._is_behind():
            raise self._refusal(retry_after_ms=RETRY_MS)
        if self._unanswered_bytes + size > MAX_WAITING_BYTES:
            raise self._refusal(retry_after_ms=RETRY_MS)
        if held is not None and len(held) >= MAX_BATCH:
            raise BusyError(retry_after_ms=RETRY_MS)
        send = _Send(draft, asyncio.get_running_loop())
        self._unanswered += 1
        self._unanswered_bytes += size
        send.future.add_done_callback(partial(self._answered, size))
        if held is not None:
            self._hold(send)
        else:
            self._enqueue([send])
        return send.future

    def _is_behind(self) -> bool:
        """Whether the queue is longer than what can be stored in time: not where one batch hangs."""
        while self._waiting and self._waiting[0].was_given_up:
            self._waiting.popleft()  # while a batch hangs, those behind it must not pile up
        now = asyncio.get_running_loop().time()
        if not self._waiting or now - self._began > QUEUE_SECONDS:
            return False
        return self._waiting[0].timer.when() - now < ANSWER_SECONDS - QUEUE_SECONDS

    def _answered(self, size: int, _future: asyncio.Future[Outcome]) -> None:
        self._unanswered -= 1
        self._unanswered_bytes -= size

    def _enqueue(self, sends: Sequence[_Send]) -> None:
        self._waiting.extend(sends)
        if self._task is None and self._waiting:
            self._task = background.start(self._send_all())  # in nobody's name: it stores for everybody

    # --- batches ------------------------------------------------------------------------------------

    async def _send_all(self) -> None:
        try:
            loop = asyncio.get_running_loop()
            while batch := self._take():
                self._began = loop.time()
                outcomes = await self._store(batch, patience=0)
                is_away = all(isinstance(outcome, UnavailableError) for outcome in outcomes)
                self._refusal = UnavailableError if is_away else OverloadedError
                held = []
                for send, outcome in zip(batch, outcomes, strict=True):
                    if isinstance(outcome, BusyError):
                        held.append(send)
                    else:
                        send.answer(outcome)
                if held:
                    self._set_aside(held)
                if 0 < len(self._waiting) < MAX_BATCH:
                    await asyncio.sleep(min(loop.time() - self._began, MAX_REST_SECONDS))
        finally:
            self._task = None

    def _take(self) -> list[_Send]:
        batch: list[_Send] = []
        while self._waiting and len(batch) < MAX_BATCH:
            send = self._waiting.popleft()
            if not send.was_given_up:
                batch.append(send)
        return batch

    async def _store(self, sends: Sequence[_Send], *, patience: float) -> Sequence[Outcome]:
        if not sends:  # all of them were given up while they waited for their turn
            return []
        for send in sends:
            send.otherwise = UncertainError
        metrics.BATCH_MESSAGES.observe(len(sends))
        try:
            return await run_in_thread(send_messages, [send.draft for send in sends], patience=patience)
        except RealtimeError as error:
            return [error] * len(sends)
        except Exception:
            logger.exception("A batch of %d messages could not be stored", len(sends))
            return [RealtimeError() for _ in sends]

    # --- conversations that another transaction holds -----------------------------------------------

    def _hold(self, send: _Send) -> None:
        send.otherwise = BusyError
        self._held[send.draft.conversation_id].append(send)

    def _set_aside(self, sends: Sequence[_Send]) -> None:
        """Take these, and what was sent to the same conversations since, out of the way of the others."""
        conversations = list({send.draft.conversation_id for send in sends})
        self._held.update({conversation: [] for conversation in conversations})
        waiting, self._waiting = self._waiting, deque()
        for send in (*sends, *waiting):
            if send.draft.conversation_id in self._held:
                self._hold(send)
            else:
                self._waiting.append(send)
        background.start(self._wait_for(conversations))

    async def _wait_for(self, conversations: Sequence[int], *, is_long: bool = False) -> None:
        """Store what waits for these as soon as they can be had; then they are like any other.

        First together, then each alone, then each alone for long.
        """
        async with self._long_waits if is_long else self._short_waits:
            taken = {conversation: list(self._held[conversation]) for conversation in conversations}
            sends = [send for held in taken.values() for send in held if not send.was_given_up]
            outcomes = await self._store(sends, patience=LOCK_SECONDS if is_long else SHORT_LOCK_SECONDS)
        refused: dict[_Send, BusyError] = {}
        for send, outcome in zip(sends, outcomes, strict=True):
            if isinstance(outcome, BusyError):
                refused[send] = outcome
            else:
                send.answer(outcome)
        for conversation, ones in taken.items():
            since = self._held.pop(conversation)[len(ones) :]
            left = [send for send in ones if send in refused]
            if not left:
                for send in since:
                    send.otherwise = UnavailableError
                self._enqueue(since)
            elif is_long:  # who came while these waited would wait in vain too
                for send in (*left, *since):
                    send.answer(refused[left[0]])
            else:
                self._held[conversation] = []
                for send in (*left, *since):
                    self._hold(send)
                background.start(self._wait_for([conversation], is_long=len(conversations) == 1))


metrics.INBOX_WAITING.reads(lambda: sum(inbox._unanswered for inbox in list(Inbox._inboxes.values())))  # noqa: SLF001 - this module's own
