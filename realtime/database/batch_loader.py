"""Questions that many sockets ask the database at about the same time, answered together.

When a thousand sockets come back at once, each wants to know who it is and what it may hear. Asked one by one
that is a thousand short queries, whose threads mostly wait for each other; asked together it is a few.

To put a query together takes many times longer than to answer it for one socket more. A loop accepts one
connection in each of its turns, so a batch is asked once a turn brought no further question.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable, Collection, Hashable, Mapping
from itertools import islice
from typing import Generic, TypeVar

from realtime.database.threads import run_in_thread
from realtime.errors import RealtimeError
from realtime.process import background

logger = logging.getLogger(__name__)

Q = TypeVar("Q", bound=Hashable)
A = TypeVar("A")

#: Questions in one batch: enough to share the cost of a query, few enough to keep it short.
MAX_BATCH = 128
#: Seconds a question waits for others while each turn of the loop brings some: what thirty handshakes take.
GATHER_SECONDS = 0.02


class Asking(Generic[Q, A]):
    """One kind of question. `await asking(question)` is its answer, or raises the error that is its answer.

    A batch is asked when none is in flight and nobody else comes to ask, and what is asked meanwhile is the
    next one: an idle server adds a turn of its loop, and no delay. The same question of several is asked
    once, and always after the last of them asked.
    """

    def __init__(
        self,
        answer_all: Callable[[Collection[Q]], Mapping[Q, A | RealtimeError]],
        *,
        max_batch: int = MAX_BATCH,
    ) -> None:
        self._answer_all = answer_all
        self._max_batch = max_batch
        self._batches: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Batches[Q, A]] = (
            weakref.WeakKeyDictionary()
        )

    async def __call__(self, question: Q) -> A:
        loop = asyncio.get_running_loop()
        batches = self._batches.get(loop)
        if batches is None:
            batches = self._batches[loop] = _Batches(self._answer_all, self._max_batch)
        answer = await asyncio.shield(batches.answer_to(question))
        if isinstance(answer, Exception):
            raise answer
        return answer


class _Batches(Generic[Q, A]):
    """The questions of one loop."""

    def __init__(
        self, answer_all: Callable[[Collection[Q]], Mapping[Q, A | RealtimeError]], max_batch: int
    ) -> None:
        self._answer_all = answer_all
        self._max_batch = max_batch
        self._waiting: dict[Q, asyncio.Future[A | Exception]] = {}
        self._task: asyncio.Task[None] | None = None

    def answer_to(self, question: Q) -> asyncio.Future[A | Exception]:
        future = self._waiting.get(question)
        if future is None:
            future = self._waiting[question] = asyncio.get_running_loop().create_future()
            if self._task is None:
                self._task = background.start(self._answer_them())
        return future

    async def _answer_them(self) -> None:
        try:
            while self._waiting:
                await self._gather()
                # The longest waiting first: under load the newest would keep the oldest waiting for ever.
                first = list(islice(self._waiting, self._max_batch))
                batch = [(question, self._waiting.pop(question)) for question in first]
                answers = await self._answers([question for question, _ in batch])
                for question, future in batch:
                    if not future.done():
                        future.set_result(answers[question])
        finally:
            self._task = None

    async def _gather(self) -> None:
        """Wait for as long as each turn of the loop brings another question."""
        clock = asyncio.get_running_loop().time
        until, known = clock() + GATHER_SECONDS, 0
        while known < len(self._waiting) < self._max_batch and clock() < until:
            known = len(self._waiting)
            await asyncio.sleep(0)

    async def _answers(self, questions: list[Q]) -> Mapping[Q, A | Exception]:
        try:
            return await run_in_thread(self._answer_all, questions)
        except RealtimeError as error:  # the database is away
            # Who waits behind would wait as long for the same: a frozen database makes each batch slow.
            waiting, self._waiting = self._waiting, {}
            for future in waiting.values():
                if not future.done():
                    future.set_result(error)
            return dict.fromkeys(questions, error)
        except Exception as error:
            if len(questions) == 1:
                return {questions[0]: error}
            # One that cannot be answered must not be everybody's failure.
            logger.exception("%d questions could not be answered together", len(questions))
            return {question: (await self._answers([question]))[question] for question in questions}
