"""The wire of a connection on uvicorn: finished bytes go straight to its transport."""

from __future__ import annotations

import asyncio
from typing import Protocol


class OpenProtocol(Protocol):
    """uvicorn's side of a connection, as far as its wire knows it."""

    transport: asyncio.Transport

    @property
    def is_open(self) -> bool: ...
    @property
    def heard_at(self) -> float: ...


class PreparedWire:
    """The connection below a socket (`realtime.wire.wire.Wire`)."""

    __slots__ = ("_protocol",)

    def __init__(self, protocol: OpenProtocol) -> None:
        self._protocol = protocol

    def write(self, data: bytes) -> None:
        if self._protocol.is_open:
            self._protocol.transport.write(data)

    def waiting(self) -> int:
        return self._protocol.transport.get_write_buffer_size()

    def heard_at(self) -> float:
        return self._protocol.heard_at

    def abort(self) -> None:
        self._protocol.transport.abort()

    def abandon(self) -> None:
        """Do nothing: what waits belongs to the transport, and the peer may still read it."""
