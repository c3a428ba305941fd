"""The intake between a connection and its application keeps the order, and is full at its bounds."""

import asyncio

import pytest

from realtime.servers.intake import MAX_BYTES, MAX_MESSAGES, Intake
from tests.realtime.listeners import settle


@pytest.fixture
def intake() -> Intake:
    return Intake()


async def test_messages_are_taken_in_order(intake: Intake) -> None:
    for number in range(3):
        intake.put_nowait({"number": number})

    assert [(await intake.get())["number"] for _ in range(3)] == [0, 1, 2]
    assert intake.empty()


async def test_waiting_reader_is_woken(intake: Intake) -> None:
    waiting = asyncio.ensure_future(intake.get())
    await settle()

    intake.put_nowait({"text": "hello"})

    assert await waiting == {"text": "hello"}


async def test_reader_that_stopped_waiting_takes_nothing_along(intake: Intake) -> None:
    first, second = asyncio.ensure_future(intake.get()), asyncio.ensure_future(intake.get())
    await settle()

    intake.put_nowait({"text": "hello"})  # wakes the first waiter, which is cancelled in the same turn
    first.cancel()

    assert await asyncio.wait_for(second, 1) == {"text": "hello"}


async def test_two_waiting_readers_are_both_served(intake: Intake) -> None:
    takers = [asyncio.ensure_future(intake.get()) for _ in range(2)]
    await settle()

    intake.put_nowait({"text": "a"})
    intake.put_nowait({"text": "b"})

    assert await asyncio.gather(*takers) == [{"text": "a"}, {"text": "b"}]


async def test_it_is_full_by_number_and_by_bytes_until_taken(intake: Intake) -> None:
    for _ in range(MAX_MESSAGES):
        assert not intake.is_full
        intake.put_nowait({"text": "x"})
    assert intake.is_full
    await intake.get()
    assert not intake.is_full

    intake.put_nowait({"bytes": b"x" * MAX_BYTES})

    assert intake.is_full
