"""Sockets end with their tokens, whatever happens to the others that end in the same second."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime.sockets import expiries
from realtime.sockets.expiries import Expiries
from realtime.testing import eventually


class Socket:
    def __init__(self, *, is_broken: bool = False) -> None:
        self.is_broken = is_broken
        self.has_ended = False

    def expire(self) -> None:
        if self.is_broken:
            raise RuntimeError("a bug")
        self.has_ended = True

    def about(self) -> dict[str, Any]:
        return {"socket_id": "broken"}


async def test_socket_that_cannot_be_ended_keeps_no_other_alive(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(expiries, "LOOK_SECONDS", 0.01)
    sockets: list[Any] = [Socket(is_broken=number % 2 == 0) for number in range(10)]
    ending = Expiries(asyncio.get_running_loop())
    for socket in sockets:
        ending.add(socket, seconds=-1)
    running = asyncio.create_task(ending.run())
    await eventually(lambda: sockets[-1].has_ended)
    running.cancel()

    assert [socket.has_ended for socket in sockets] == [False, True] * 5
    assert [(record.getMessage(), record.socket_id) for record in caplog.records] == [  # type: ignore[attr-defined]
        ("A socket could not be ended with its token", "broken")
    ] * 5
