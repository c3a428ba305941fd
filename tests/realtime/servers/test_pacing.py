"""Paced reading: other sockets wait for one slice at most."""

import asyncio

import pytest

from realtime.servers import SLICE_BYTES
from realtime.servers.intake import MAX_MESSAGES, Intake
from realtime.servers.paced_reading import PacedReading


class Paced(PacedReading):
    """As much of a protocol as pacing needs: a slice is so many messages."""

    def __init__(self, *, messages_a_slice: int = 1) -> None:
        self.intake = Intake()
        self.slices: list[bytes] = []
        self.resumed = 0
        self._messages_a_slice = messages_a_slice

    def _parse(self, data: bytes) -> None:
        if not data:
            return
        self.slices.append(data)
        for _ in range(self._messages_a_slice):
            self.intake.put_nowait({"text": "x"})
        if self.intake.is_full:
            self._hold()

    def _pause(self) -> None:
        pass

    def _resume(self) -> None:
        self.resumed += 1

    def _is_inside_message(self) -> bool:
        return False

    def _fail_unfinished(self) -> None:
        raise AssertionError("nothing was begun")


async def slices_of_each_turn(paced: Paced, turns: int) -> list[int]:
    seen = []
    for _ in range(turns):
        before = len(paced.slices)
        await asyncio.sleep(0)
        seen.append(len(paced.slices) - before)
    return seen


@pytest.mark.parametrize("messages_a_slice", [1, MAX_MESSAGES])
async def test_one_slice_is_parsed_in_each_turn_however_fast_it_is_taken(
    messages_a_slice: int,
) -> None:
    paced = Paced(messages_a_slice=messages_a_slice)
    taken: list[object] = []

    async def take_all() -> None:
        while True:
            taken.append(await paced.take())

    application = asyncio.ensure_future(take_all())
    await asyncio.sleep(0)
    flood = bytes(SLICE_BYTES * 16)
    paced.feed(flood)

    assert max(await slices_of_each_turn(paced, 100)) == 1
    assert b"".join(paced.slices) == flood  # nothing was left unread
    assert len(taken) == 16 * messages_a_slice
    application.cancel()


async def test_reading_goes_on_for_an_application_that_took_everything() -> None:
    paced = Paced(messages_a_slice=MAX_MESSAGES)
    for _ in range(3):
        paced.feed(b"x")
        for _ in range(MAX_MESSAGES):
            await paced.take()
        await asyncio.sleep(0)
    assert (len(paced.slices), paced.resumed) == (3, 3)


async def test_connection_that_is_gone_meanwhile_is_left_alone() -> None:
    paced = Paced(messages_a_slice=MAX_MESSAGES)
    paced.feed(bytes(SLICE_BYTES * 2))
    for _ in range(MAX_MESSAGES):
        await paced.take()

    paced._stop_watching()
    await asyncio.sleep(0)

    assert (len(paced.slices), paced.resumed) == (1, 0)
