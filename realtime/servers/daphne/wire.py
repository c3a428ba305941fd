"""The wire of a socket on Daphne: writes to Twisted's transport without asking the reactor first."""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp


class PreparedWire:
    """The connection below a socket (`realtime.wire.wire.Wire`)."""

    __slots__ = ("_protocol", "_socket")

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        # Plain TCP only: a transport that encrypts would hand out the socket below its encryption.
        transport = protocol.transport
        self._socket = transport.socket if type(transport) is tcp.Server and not transport.TLS else None

    def write(self, data: bytes) -> None:
        protocol = self._protocol
        if protocol.state != protocol.STATE_OPEN or protocol.muted:
            return
        transport = protocol.transport
        # Twisted would wait for the reactor to say that the kernel has room, at the price of three system
        # calls. When nothing waits there is no need to ask.
        if self._socket is not None and waiting_in(transport) == 0:
            try:
                sent = self._socket.send(data)
            except OSError:  # full, or broken: Twisted knows what to do
                sent = 0
            if sent == len(data):
                return
            if sent:
                # Twisted would copy the rest; this way, slow readers share the bytes that were sent to all.
                transport.dataBuffer, transport.offset = data, sent
                transport.startWriting()
                return
        transport.write(data)

    def waiting(self) -> int:
        return waiting_in(self._protocol.transport)

    def heard_at(self) -> float:
        return float(self._protocol.heard_at)

    def abort(self) -> None:
        self._protocol.transport.abortConnection()

    def abandon(self) -> None:
        """Do nothing: what waits belongs to Twisted, and the peer may still read it."""


def waiting_in(transport: Any) -> int:
    """The bytes that Twisted holds back; 0 for a transport that does not say (TLS, left to proxies)."""
    buffer = getattr(transport, "dataBuffer", None)
    return 0 if buffer is None else len(buffer) - transport.offset + transport._tempDataLen  # noqa: SLF001 - there is no other way to see it
