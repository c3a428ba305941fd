"""Questions that are answered together: no waiting for company, no stale answer, one fails alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

import pytest

from realtime.database import batch_loader as module
from realtime.database.batch_loader import Asking
from realtime.errors import UnauthenticatedError, UnavailableError


class Library:
    """Answers when it is let; remembers what it was asked together."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.bad: dict[int, Exception] = {}
        self.version = 0

    def answer(self, questions: Collection[int]) -> dict[int, int]:
        for question in questions:
            if question in self.bad:
                raise self.bad[question]
        return {question: question * 10 + self.version for question in questions}

    async def run_in_thread(self, function, questions):
        self.batches.append(sorted(questions))
        answers = None
        try:
            answers = function(questions)
        finally:
            await self.is_open.wait()
        return answers


@pytest.fixture
async def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    library = Library()
    monkeypatch.setattr(module, "run_in_thread", library.run_in_thread)
    return library


async def test_lone_question_is_asked_at_once(library):
    assert await Asking(library.answer)(1) == 10
    assert library.batches == [[1]]


async def test_who_asks_in_the_next_turns_of_the_loop_is_asked_along(library):
    """A loop accepts one connection in each of its turns: without it a storm is asked two by two."""
    asking = Asking(library.answer)
    asked = []
    for question in range(20):
        asked.append(asyncio.ensure_future(asking(question)))
        await asyncio.sleep(0)

    assert await asyncio.gather(*asked) == [question * 10 for question in range(20)]
    assert library.batches == [list(range(20))]


async def test_nobody_waits_for_ever_for_company(library, monkeypatch):
    monkeypatch.setattr(module, "GATHER_SECONDS", 0.0)
    asking = Asking(library.answer)
    first = asyncio.ensure_future(asking(0))
    others = []
    while not first.done():
        others.append(asyncio.ensure_future(asking(len(others) + 1)))
        await asyncio.sleep(0)

    assert first.result() == 0
    assert len(library.batches[0]) < 5 < module.MAX_BATCH
    await asyncio.gather(*others)


async def test_what_is_asked_while_a_batch_is_in_flight_is_the_next_one(library):
    asking = Asking(library.answer)
    library.is_open.clear()
    first = asyncio.ensure_future(asking(1))
    await asyncio.sleep(0.01)
    later = [asyncio.ensure_future(asking(question)) for question in (2, 3, 4)]
    await asyncio.sleep(0.01)
    library.is_open.set()

    assert await asyncio.gather(first, *later) == [10, 20, 30, 40]
    assert library.batches == [[1], [2, 3, 4]]


async def test_same_question_is_asked_once_and_never_answered_from_before_it_was_asked(library):
    asking = Asking(library.answer)
    library.is_open.clear()
    early = asyncio.ensure_future(asking(1))
    await asyncio.sleep(0.01)  # its answer is on its way, from before the change
    library.version = 1
    late = [asyncio.ensure_future(asking(1)) for _ in range(3)]
    await asyncio.sleep(0.01)
    library.is_open.set()

    assert await asyncio.gather(early, *late) == [10, 11, 11, 11]
    assert library.batches == [[1], [1]]


async def test_batch_is_bounded(library):
    asking = Asking(library.answer, max_batch=2)

    await asyncio.gather(*(asking(question) for question in range(5)))

    assert [len(batch) for batch in library.batches] == [2, 2, 1]
    assert library.batches == [[0, 1], [2, 3], [4]]  # the longest waiting first


async def test_question_that_cannot_be_answered_fails_alone(library, caplog):
    library.bad[2] = RuntimeError("a bug")
    asking = Asking(library.answer)

    with caplog.at_level(logging.ERROR):
        answers = await asyncio.gather(*(asking(question) for question in (1, 2, 3)), return_exceptions=True)

    assert [answers[0], repr(answers[1]), answers[2]] == [10, "RuntimeError('a bug')", 30]
    assert "could not be answered together" in caplog.text


async def test_database_that_is_away_is_everybodys_answer_and_is_asked_once(library):
    library.bad[1] = UnavailableError()
    asking = Asking(library.answer)

    answers = await asyncio.gather(asking(1), asking(2), return_exceptions=True)

    assert [type(answer) for answer in answers] == [UnavailableError, UnavailableError]
    assert len(library.batches) == 1


async def test_database_that_is_away_is_also_the_answer_of_who_waits_behind(library):
    library.bad[1] = UnavailableError()
    asking = Asking(library.answer, max_batch=1)
    library.is_open.clear()
    first = asyncio.ensure_future(asking(1))
    await asyncio.sleep(0.01)
    behind = [asyncio.ensure_future(asking(question)) for question in (2, 3)]
    await asyncio.sleep(0.01)
    library.is_open.set()

    answers = await asyncio.gather(first, *behind, return_exceptions=True)

    assert [type(answer) for answer in answers] == [UnavailableError] * 3
    assert library.batches == [[1]]
    assert await asking(4) == 40


async def test_refusal_is_one_askers_answer(library):
    def answer(questions):
        return {question: UnauthenticatedError() if question == 2 else question for question in questions}

    asking = Asking(answer)

    answers = await asyncio.gather(asking(1), asking(2), return_exceptions=True)

    assert [answers[0], type(answers[1])] == [1, UnauthenticatedError]


async def test_asker_that_goes_away_takes_nobodys_answer_along(library):
    asking = Asking(library.answer)
    library.is_open.clear()
    gone, other = asyncio.ensure_future(asking(1)), asyncio.ensure_future(asking(1))
    await asyncio.sleep(0.01)

    gone.cancel()
    library.is_open.set()

    assert await other == 10
