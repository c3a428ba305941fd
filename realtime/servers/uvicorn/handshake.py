"""The fast reading of an ordinary WebSocket handshake, from what uvicorn's HTTP parser has already parsed.

uvicorn itself writes the request out as text, and websockets parses it again line by line: a sixth of the
cost of opening a socket. A handshake that is unusual in any way takes that path: websockets knows the answer.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

#: RFC 6455 §1.3
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#: Bytes of a head in which no line can be too long for websockets.
_MAX_BYTES = 8_000
_TOKEN = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+"
#: The headers that make a handshake, each required once, and their values.
_REQUIRED = {
    b"connection": re.compile(rb"(?:keep-alive, ?)?upgrade", re.IGNORECASE),
    b"upgrade": re.compile(rb"websocket", re.IGNORECASE),
    b"sec-websocket-version": re.compile(rb"13"),
    b"sec-websocket-key": re.compile(rb"[A-Za-z0-9+/]{22}=="),
}
#: Optional headers, each allowed once.
_OPTIONAL = {
    b"sec-websocket-protocol": re.compile(rb"%b(?:, ?%b)*" % (_TOKEN, _TOKEN)),
    b"origin": re.compile(rb".*"),
}
_KNOWN = _REQUIRED | _OPTIONAL
#: Headers that announce a body; such a handshake is not ordinary.
_REFUSED = frozenset({b"content-length", b"transfer-encoding"})
_VISIBLE = bytes(range(0x20, 0x7F))


class Handshake(NamedTuple):
    """An ordinary handshake that is valid."""

    target: bytes
    headers: list[tuple[bytes, bytes]]
    subprotocols: list[str]
    #: The value of Sec-WebSocket-Accept.
    accept: str


def ordinary(method: str, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> Handshake | None:
    """The handshake of an HTTP/1.1 request, if everybody would understand it in the same way.

    Names are in lower case, and tokens: that is known of what uvicorn's parser has read.
    """
    text = b"".join([target, *(name + value for name, value in headers)])
    if method != "GET" or len(text) > _MAX_BYTES or text.translate(None, _VISIBLE):
        return None
    said: dict[bytes, bytes] = {}
    for name, value in headers:
        rule = _KNOWN.get(name)
        if rule is not None:
            if name in said or rule.fullmatch(value) is None:
                return None
            said[name] = value
        elif name in _REFUSED:
            return None
    if not said.keys() >= _REQUIRED.keys():
        return None
    digest = hashlib.sha1(said[b"sec-websocket-key"] + _GUID, usedforsecurity=False).digest()
    offered = said.get(b"sec-websocket-protocol")
    return Handshake(
        target,
        [(name, value.strip(b" ")) for name, value in headers],
        [] if offered is None else [name.strip() for name in offered.decode("ascii").split(",")],
        base64.b64encode(digest).decode("ascii"),
    )
