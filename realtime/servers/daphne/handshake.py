"""Frees what a handshake leaves behind under Daphne: unread, it would stay for as long as the socket does."""

from __future__ import annotations

from typing import Any

from twisted.web import http


class Nobody:
    """Stands in for autobahn's futures `is_open` and `is_closed`, which nothing here awaits."""

    def callback(self, _result: object) -> None:
        """Ignore the result."""


class Request:
    """The part of a finished handshake that Daphne reads; autobahn's object would keep all headers."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path


#: Attributes of autobahn's protocol that nothing reads after the handshake: 4.3 KB of the 22.9 KB
#: that an idle socket would take with the bench's few headers, and more with a browser's.
_LEFT_OVER = (
    "application_deferred",
    "clean_headers",
    "http_headers",
    "http_request_data",
    "http_request_host",
    "http_request_params",
    "http_request_path",
    "http_request_uri",
    "http_status_line",
    "websocket_extensions",
    "websocket_origin",
    "websocket_protocols",
    "_raw_query_string",
)


def is_http_1_0(protocol: Any) -> bool:
    """Whether the request for a socket came as HTTP/1.0: Daphne passes every one on as if it were 1.1."""
    channel = getattr(protocol.transport, "producer", None)
    if not isinstance(channel, http.HTTPChannel):
        return False
    return any(request.clientproto == b"HTTP/1.0" for request in channel.requests)


def forget_handshake(protocol: Any) -> None:
    """Free both sides of a handshake: autobahn's, and the HTTP one, which the transport would keep."""
    for name in _LEFT_OVER:
        vars(protocol).pop(name, None)
    transport = protocol.transport
    channel = getattr(transport, "producer", None)
    if isinstance(channel, http.HTTPChannel):
        transport.unregisterProducer()
        channel.requests.clear()  # which refer back to it
