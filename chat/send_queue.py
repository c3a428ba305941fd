"""The send queue stores the drafts of all sockets of a process together.

A batch starts at once when none is in flight. Drafts that arrive meanwhile form the next batch, which starts
after a short rest unless it is full. So batches grow with the load by themselves, and an idle server adds no
delay.

A conversation that another transaction holds does not hold up the batch: its drafts leave the batch and wait
for the lock in a transaction of their own, and later drafts to that conversation wait behind them.
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
#: Unanswered drafts in the process; further ones are refused at once, with `retry_after_ms`.
MAX_WAITING = 1_000
#: Bytes of the unanswered drafts: a thousand of usual length are one megabyte, a thousand of the longest 32.
MAX_WAITING_BYTES = 8 * 1024 * 1024
#: Transactions that wait for locks at the same time, with a short and with a long wait: a conversation that
#: stays held must not delay one that is held for a moment, and other database threads stay free.
MAX_SHORT_WAITS, MAX_LONG_WAITS = 2, 2
RETRY_MS = 1_000
#: The longest rest in seconds between two batches; the rest is as long as the batch took. Drafts that arrive
#: during the rest share the next transaction.
MAX_REST_SECONDS = 0.002


class _Send:
    """A draft on its way to the database, with the future that answers its sender."""

    __slots__ = ("draft", "future", "otherwise", "timer")

    def __init__(self, draft: Draft, loop: asyncio.AbstractEventLoop) -> None:
        self.draft = draft
        self.future: asyncio.Future[Outcome] = loop.create_future()
        #: The error to answer with when the outcome is not known in time.
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
        """Whether the sender was already answered with an error; a closed socket's draft is stored."""
        return self.future.done() and not self.future.cancelled()


class SendQueue:
    """The queue of one event loop; `SendQueue.current()` makes it."""

    _queues: ClassVar[dict[asyncio.AbstractEventLoop, SendQueue]] = {}

    def __init__(self) -> None:
        self._unanswered = 0
        self._unanswered_bytes = 0
        self._waiting: deque[_Send] = deque()
        self._task: asyncio.Task[None] | None = None
        #: When the batch in flight began.
        self._began = 0.0
        #: The error for refused sends, which says why the queue is slow; the last batch decides.
        self._refusal: type[RealtimeError] = OverloadedError
        #: The sends to conversations that another transaction holds, by conversation, in their order.
        self._held: dict[int, list[_Send]] = {}
        self._short_waits = asyncio.Semaphore(MAX_SHORT_WAITS)
        self._long_waits = asyncio.Semaphore(MAX_LONG_WAITS)

    @classmethod
    def current(cls) -> SendQueue:
        loop = asyncio.get_running_loop()
        queue = cls._queues.get(loop)
        if queue is None:
            cls._queues = {other: queue for other, queue in cls._queues.items() if not other.is_closed()}
            queue = cls._queues[loop] = cls()
        return queue

    def submit(self, draft: Draft) -> asyncio.Future[Outcome]:
        """Queue a draft; its outcome comes after the commit, even if the socket closes before."""
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
        """Whether more sends wait than can be stored in time; a single hanging batch is no sign of that."""
        while self._waiting and self._waiting[0].was_given_up:
            self._waiting.popleft()  # while a batch hangs, the sends behind it must not pile up
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
            self._task = background.start(self._send_all())  # in an empty context: it stores for all sockets

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
        if not sends:  # all were given up while they waited
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
        """Move these sends, and the later ones to the same conversations, out of the others' way."""
        conversations = dict.fromkeys(send.draft.conversation_id for send in sends)
        self._held.update({conversation: [] for conversation in conversations})
        waiting, self._waiting = self._waiting, deque()
        for send in (*sends, *waiting):
            if send.draft.conversation_id in self._held:
                self._hold(send)
            else:
                self._waiting.append(send)
        for conversation in conversations:
            background.start(self._wait_for(conversation))

    async def _wait_for(self, conversation: int) -> None:
        """Store the held sends of a conversation once it is free: wait for its lock briefly, then for long.

        With the long wait alone, conversations that stay held would take all turns, and sends to one that is
        already free would be given up before its turn.
        """
        async with self._short_waits:
            refusal = await self._store_held(conversation, patience=SHORT_LOCK_SECONDS)
        if refusal is not None:
            async with self._long_waits:
                refusal = await self._store_held(conversation, patience=LOCK_SECONDS)
        rest = self._held.pop(conversation)
        if refusal is not None:  # sends that came during the wait would wait in vain too
            for send in rest:
                send.answer(refusal)
            return
        for send in rest:
            send.otherwise = UnavailableError
        self._enqueue(rest)

    async def _store_held(self, conversation: int, *, patience: float) -> BusyError | None:
        """Store the held sends of a conversation; refused ones stay held, and their error is returned."""
        held = list(self._held[conversation])
        sends = [send for send in held if not send.was_given_up]
        outcomes = await self._store(sends, patience=patience)
        since = self._held[conversation][len(held) :]
        self._held[conversation] = []
        refusal = None
        for send, outcome in zip(sends, outcomes, strict=True):
            if isinstance(outcome, BusyError):
                refusal = outcome
                self._hold(send)
            else:
                send.answer(outcome)
        self._held[conversation] += since
        return refusal


metrics.SENDS_WAITING.reads(lambda: sum(queue._unanswered for queue in list(SendQueue._queues.values())))  # noqa: SLF001 - this module's own
