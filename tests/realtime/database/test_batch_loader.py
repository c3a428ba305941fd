"""The batch loader: a key does not wait for others, gets no stale value, and fails alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

import pytest

from realtime.database import batch_loader
from realtime.database.batch_loader import BatchLoader
from realtime.errors import UnauthenticatedError, UnavailableError


class Library:
    """Answers when the test lets it, and remembers the batches it was asked."""

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
    monkeypatch.setattr(batch_loader, "run_in_thread", library.run_in_thread)
    return library


async def test_lone_question_is_asked_at_once(library):
    assert await BatchLoader(library.answer)(1) == 10
    assert library.batches == [[1]]


async def test_questions_of_the_next_turns_of_the_loop_join_the_batch(library):
    """A loop accepts one connection in each of its turns: otherwise a storm would be asked two by two."""
    loader = BatchLoader(library.answer)
    asked = []
    for question in range(20):
        asked.append(asyncio.ensure_future(loader(question)))
        await asyncio.sleep(0)

    assert await asyncio.gather(*asked) == [question * 10 for question in range(20)]
    assert library.batches == [list(range(20))]


async def test_nobody_waits_for_ever_for_company(library, monkeypatch):
    monkeypatch.setattr(batch_loader, "GATHER_SECONDS", 0.0)
    loader = BatchLoader(library.answer)
    first = asyncio.ensure_future(loader(0))
    others = []
    while not first.done():
        others.append(asyncio.ensure_future(loader(len(others) + 1)))
        await asyncio.sleep(0)

    assert first.result() == 0
    assert len(library.batches[0]) < 5 < batch_loader.MAX_BATCH
    await asyncio.gather(*others)


async def test_questions_asked_while_a_batch_is_in_flight_are_the_next_one(library):
    loader = BatchLoader(library.answer)
    library.is_open.clear()
    first = asyncio.ensure_future(loader(1))
    await asyncio.sleep(0.01)
    later = [asyncio.ensure_future(loader(question)) for question in (2, 3, 4)]
    await asyncio.sleep(0.01)
    library.is_open.set()

    assert await asyncio.gather(first, *later) == [10, 20, 30, 40]
    assert library.batches == [[1], [2, 3, 4]]


async def test_same_question_is_asked_once_and_never_answered_from_before_it_was_asked(library):
    loader = BatchLoader(library.answer)
    library.is_open.clear()
    early = asyncio.ensure_future(loader(1))
    await asyncio.sleep(0.01)  # the answer is under way, and is from before the change
    library.version = 1
    late = [asyncio.ensure_future(loader(1)) for _ in range(3)]
    await asyncio.sleep(0.01)
    library.is_open.set()

    assert await asyncio.gather(early, *late) == [10, 11, 11, 11]
    assert library.batches == [[1], [1]]


async def test_batch_is_bounded(library):
    loader = BatchLoader(library.answer, max_batch=2)

    await asyncio.gather(*(loader(question) for question in range(5)))

    assert [len(batch) for batch in library.batches] == [2, 2, 1]
    assert library.batches == [[0, 1], [2, 3], [4]]  # the longest waiting first


async def test_question_that_cannot_be_answered_fails_alone(library, caplog):
    library.bad[2] = RuntimeError("a bug")
    loader = BatchLoader(library.answer)

    with caplog.at_level(logging.ERROR):
        answers = await asyncio.gather(*(loader(question) for question in (1, 2, 3)), return_exceptions=True)

    assert [answers[0], repr(answers[1]), answers[2]] == [10, "RuntimeError('a bug')", 30]
    assert "could not be loaded together" in caplog.text


async def test_database_that_is_away_is_everybodys_answer_and_is_asked_once(library):
    library.bad[1] = UnavailableError()
    loader = BatchLoader(library.answer)

    answers = await asyncio.gather(loader(1), loader(2), return_exceptions=True)

    assert [type(answer) for answer in answers] == [UnavailableError, UnavailableError]
    assert len(library.batches) == 1


async def test_database_that_is_away_is_also_the_answer_to_questions_that_wait(library):
    library.bad[1] = UnavailableError()
    loader = BatchLoader(library.answer, max_batch=1)
    library.is_open.clear()
    first = asyncio.ensure_future(loader(1))
    await asyncio.sleep(0.01)
    behind = [asyncio.ensure_future(loader(question)) for question in (2, 3)]
    await asyncio.sleep(0.01)
    library.is_open.set()

    answers = await asyncio.gather(first, *behind, return_exceptions=True)

    assert [type(answer) for answer in answers] == [UnavailableError] * 3
    assert library.batches == [[1]]
    assert await loader(4) == 40


async def test_refusal_is_one_askers_answer(library):
    def answer(questions):
        return {question: UnauthenticatedError() if question == 2 else question for question in questions}

    loader = BatchLoader(answer)

    answers = await asyncio.gather(loader(1), loader(2), return_exceptions=True)

    assert [answers[0], type(answers[1])] == [1, UnauthenticatedError]


async def test_caller_that_goes_away_takes_no_other_answer_along(library):
    loader = BatchLoader(library.answer)
    library.is_open.clear()
    gone, other = asyncio.ensure_future(loader(1)), asyncio.ensure_future(loader(1))
    await asyncio.sleep(0.01)

    gone.cancel()
    library.is_open.set()

    assert await other == 10
