"""websockets' parser, as strict and as lenient as we need it."""

from __future__ import annotations

from websockets.exceptions import PayloadTooBig
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from realtime.servers import MAX_FRAGMENTS


class Parser(ServerProtocol):
    """It counts frames, and knows that a close may stand between fragments."""

    fragments = 0
    #: Messages, and control frames outside of one, that have been read to their end.
    completed = 0

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CONT:
            self.fragments += 1
            if self.fragments > MAX_FRAGMENTS:
                raise PayloadTooBig(self.fragments, MAX_FRAGMENTS)
        elif frame.opcode is Opcode.CLOSE:
            self.current_size = (
                None  # RFC 6455 §5.4: control frames may be injected in the middle of a message
            )
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self.fragments = 1
        super().recv_frame(frame)
        if self.current_size is None:
            self.completed += 1

    @property
    def is_inside_message(self) -> bool:
        """Whether something was begun and not ended: a message, or any frame."""
        return self.current_size is not None or bool(self.reader.buffer)
