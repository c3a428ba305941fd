"""The wire below a socket on Daphne, on a transport that holds back what it is given."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from realtime.servers.daphne.wire import PreparedWire


class Transport:
    def __init__(self) -> None:
        self.dataBuffer, self.offset, self._tempDataLen = b"", 0, 0
        self.given: list[bytes] = []
        self.is_writing = False

    def write(self, data: bytes) -> None:
        self.given.append(data)

    def startWriting(self) -> None:  # noqa: N802 - Twisted's name
        self.is_writing = True


def wire_that_takes(size: int) -> tuple[PreparedWire, Transport]:
    transport = Transport()
    wire: Any = PreparedWire(SimpleNamespace(transport=transport, state=1, STATE_OPEN=1, muted=False))
    wire._socket = SimpleNamespace(send=lambda data: min(size, len(data)))
    return wire, transport


def test_rest_of_what_the_kernel_took_is_not_copied_for_each_socket() -> None:
    data = b"x" * 1_000
    wires = [wire_that_takes(400) for _ in range(3)]
    for wire, _ in wires:
        wire.write(data)

    for wire, transport in wires:
        assert wire.waiting() == 600
        assert (transport.dataBuffer[transport.offset :], transport.is_writing) == (data[400:], True)
        assert transport.dataBuffer is data


def test_bytes_that_the_kernel_does_not_take_at_all_are_written_by_twisted() -> None:
    wire, transport = wire_that_takes(0)

    wire.write(b"x" * 1_000)

    assert transport.given == [b"x" * 1_000]


def test_nothing_is_left_of_what_the_kernel_took_whole() -> None:
    wire, transport = wire_that_takes(1_000)

    wire.write(b"x" * 1_000)

    assert (transport.given, transport.is_writing) == ([], False)
