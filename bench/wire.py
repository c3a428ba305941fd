"""The client's half of a WebSocket as bytes: the handshake and masked frames. No objects, no state.

The mask is zero: it protects proxies from hostile pages (RFC 6455 §10.3), and to a server it is only work,
which is the same for every mask. Frames that stay readable are quick to make.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

TEXT, CLOSE, PING, PONG = 0x81, 0x88, 0x89, 0x8A
NO_MASK = bytes(4)
#: Any sixteen bytes: the server only has to echo their hash.
KEY = "cmVsYWlzLWJlbmNobWFyaw=="


def handshake(path: str, *, host: str, headers: Mapping[str, str] | None = None) -> bytes:
    """The request that opens a socket."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin1")


def frame(payload: bytes, first: int = TEXT) -> bytes:
    """One masked frame of a client."""
    length = len(payload)
    if length < 126:
        return struct.pack("!BB", first, 0x80 | length) + NO_MASK + payload
    if length < 65536:
        return struct.pack("!BBH", first, 0x80 | 126, length) + NO_MASK + payload
    return struct.pack("!BBQ", first, 0x80 | 127, length) + NO_MASK + payload


def status_of(answer: bytes) -> int:
    """The HTTP status of a handshake's answer; 0 when it is no answer."""
    words = answer[:32].split(b" ", 2)
    return int(words[1]) if len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit() else 0
