"""websockets' parser of frames, as strict and as lenient as we need it; its events are whole messages."""

from __future__ import annotations

from typing import Any

from websockets.exceptions import PayloadTooBig
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.protocol import Protocol
from websockets.server import ServerProtocol

from realtime.servers import MAX_FRAGMENTS
from realtime.servers.unheard import SMALL_FRAGMENT_BYTES


class Parser(ServerProtocol):
    """A parser that counts frames, allows a close between fragments, and joins fragments into messages.

    A text comes as a string. Decoding it later would find what is no UTF-8 after the frames behind it were
    answered, or had failed for reasons of their own.
    """

    fragments = 0
    #: Messages, and control frames outside of one, that have been read to their end.
    completed = 0
    #: Frames that the application never sees: see PacedReading.
    control_frames = 0
    small_fragments = 0
    _opcode: Opcode
    _pieces: list[Any]

    def expect_frames(self) -> None:
        """Expect frames from here on: the handshake was read elsewhere and is valid."""
        self.accept_called = True
        self.parser.close()
        self.parser = Protocol.parse(self)
        next(self.parser)

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode in DATA_OPCODES:
            super().recv_frame(frame)
            self.events.pop()  # which it has just appended
            self._gather(frame)
        else:
            self.control_frames += 1
            if frame.opcode is Opcode.CLOSE:
                # RFC 6455 §5.4: control frames may be injected in the middle of a message
                self.current_size = None
            super().recv_frame(frame)
        if self.current_size is None:
            self.completed += 1

    def _gather(self, frame: Frame) -> None:
        """Append the message that this frame completes, if it does."""
        if frame.opcode is Opcode.CONT:
            self.fragments += 1
            if self.fragments > MAX_FRAGMENTS:
                raise PayloadTooBig(self.fragments, MAX_FRAGMENTS)
        else:
            self.fragments, self._opcode = 1, frame.opcode
            if not frame.fin:
                self._pieces = []
        if self.fragments > 1 or not frame.fin:
            self.small_fragments += len(frame.data) < SMALL_FRAGMENT_BYTES
            self._pieces.append(frame.data)
            if not frame.fin:
                return
            frame, self._pieces = Frame(self._opcode, b"".join(self._pieces)), []
        if frame.opcode is Opcode.TEXT:
            frame.data = str(frame.data, "utf-8")  # type: ignore[assignment]  # an event of ours, no frame any more
        self.events.append(frame)

    @property
    def is_inside_message(self) -> bool:
        """Whether a message, or any frame, has begun and not ended."""
        return self.current_size is not None or bool(self.reader.buffer)
