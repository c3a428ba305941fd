"""The client's end of a WebSocket; thousands are open, so a read takes a few dozen microseconds."""

from __future__ import annotations

import asyncio
from typing import Protocol

from bench.wire import CLOSE, PING, PONG, TEXT, frame, handshake, status_of
from proof.proxy import reset

#: No measured server sends longer frames; a header that claims more belongs to a broken stream.
MAX_FRAME = 4 * 1024 * 1024
#: Bytes that one socket reads in a turn of the loop: a socket with thousands of events must not delay the
#: others of this process.
READ_BYTES = 16 * 1024
#: Every read fills it and empties it at once, so one buffer is enough for all sockets.
_buffer = memoryview(bytearray(READ_BYTES))


class Owner(Protocol):
    """The object that is told what happens on a socket."""

    def opened(self) -> None: ...
    def heard(self, payload: bytes) -> None: ...
    def ended(self, code: int, *, status: int, retry_after: float) -> None: ...


class WebSocket(asyncio.BufferedProtocol):
    """One connection. It answers pings, and reports its end exactly once."""

    def __init__(self, owner: Owner, path: str, *, host: str = "127.0.0.1") -> None:
        self._owner, self._path, self._host = owner, path, host
        self._rest = b""
        self._transport: asyncio.Transport | None = None
        self.is_open = False
        self._code = 1006
        self._status = 0
        self._retry_after = 0.0

    # --- what its owner does --------------------------------------------------------------------------

    def say(self, payload: bytes) -> None:
        """Send a text frame; on a socket that has just closed it is lost, as on the wire."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame(payload))

    def write(self, data: bytes) -> None:
        """Send bytes as they are, for clients that break the rules."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self, code: int = 1000) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._code = code
            self._transport.write(frame(code.to_bytes(2, "big"), CLOSE))
            self._transport.close()

    def reset(self) -> None:
        """Drop the connection without a close."""
        if self._transport is not None:
            reset(self._transport)

    def stop_reading(self) -> None:
        """Stop reading: this side's buffers fill, and then the server's."""
        if self._transport is not None:
            self._transport.pause_reading()

    def read_on(self) -> None:
        """Read again."""
        if self._transport is not None:
            self._transport.resume_reading()

    # --- what the loop tells it -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(handshake(self._path, host=self._host))

    def get_buffer(self, sizehint: int) -> memoryview:
        return _buffer

    def buffer_updated(self, nbytes: int) -> None:
        data, self._rest = self._rest + _buffer[:nbytes], b""
        if not self.is_open:
            answer, separator, data = data.partition(b"\r\n\r\n")
            if not separator:
                self._rest = answer
                return
            if not self._accepted(answer):
                return
        self._frames(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._owner.ended(self._code, status=self._status, retry_after=self._retry_after)

    # --- reading --------------------------------------------------------------------------------------

    def _accepted(self, answer: bytes) -> bool:
        self._status = status_of(answer)
        if self._status != 101:
            for line in answer.lower().split(b"\r\n"):
                if line.startswith(b"retry-after:"):
                    self._retry_after = float(line.partition(b":")[2])
            self.reset()
            return False
        self.is_open = True
        self._owner.opened()
        return True

    def _frames(self, data: bytes) -> None:
        position, size = 0, len(data)
        while size - position >= 2:
            first, length = data[position], data[position + 1]
            start = position + 2
            if length >= 126:
                start += 2 if length == 126 else 8
                if size < start:
                    break
                length = int.from_bytes(data[position + 2 : start], "big")
            if length > MAX_FRAME:
                self._code = 1002
                self.reset()
                return
            if size < start + length:
                break
            position = start + length
            payload = data[start:position]
            if first == TEXT:
                self._owner.heard(payload)
            else:
                self._other(first, payload)
        self._rest = data[position:]

    def _other(self, first: int, payload: bytes) -> None:
        if first == PING:
            self.write(frame(payload, PONG))
        elif first == CLOSE and self._transport is not None:
            self._code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
            self.write(frame(payload[:2], CLOSE))
            self._transport.close()
