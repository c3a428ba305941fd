"""uvicorn's own WebSocket protocol, where it runs without ours: floods are ended there as well.

Otherwise it reads as it always does. Its class is changed in place: the command line has chosen it by then.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CTRL_OPCODES, Frame, Opcode
from websockets.protocol import OPEN

from realtime.errors import CloseCode
from realtime.servers.endings import ended
from realtime.servers.unheard import SMALL_FRAGMENT_BYTES, Unheard


def install() -> None:
    """Count the frames that its applications do not see."""
    if WebSocketsSansIOProtocol.handle_events is not _handle_events:
        _handle_events.stock = WebSocketsSansIOProtocol.handle_events  # type: ignore[attr-defined]  # as below
        WebSocketsSansIOProtocol.handle_events = _handle_events  # type: ignore[method-assign]  # in place


def _handle_events(self: Any) -> None:
    """`WebSocketsSansIOProtocol.handle_events` with a count of frames; our subclass counts for itself."""
    frames = [event for event in self.conn.events if isinstance(event, Frame)]
    _handle_events.stock(self)  # type: ignore[attr-defined]  # a function may carry what it replaces
    if type(self) is WebSocketsSansIOProtocol and frames and _is_flood(self, frames):
        ended(
            "flood",
            client=self.client[0] if self.client else None,
            path=self.scope["path"],
            close_code=CloseCode.TOO_MANY,
        )
        if self.conn.state is OPEN:
            self.conn.fail(CloseCode.TOO_MANY)
            self.handle_parser_exception()
        else:  # not accepted yet, or closing already
            self.transport.abort()


def _is_flood(protocol: Any, frames: list[Frame]) -> bool:
    control = sum(frame.opcode in CTRL_OPCODES for frame in frames)
    fragments = sum(
        frame.opcode not in CTRL_OPCODES
        and not (frame.fin and frame.opcode is not Opcode.CONT)
        and len(frame.data) < SMALL_FRAGMENT_BYTES
        for frame in frames
    )
    if not (control or fragments):
        return False
    unheard: Unheard = vars(protocol).setdefault("unheard", Unheard())
    return unheard.is_flood(control=control, fragments=fragments)
