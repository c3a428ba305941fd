"""The numbers that the sockets of a process keep; `docs/operations/metrics.md` explains each of them.

Labels hold what the server chose (a kind of socket, one of its codes), never what a client sent.
"""

from __future__ import annotations

from realtime.errors import CloseCode
from realtime.metrics.instruments import Counter, Gauge

SOCKETS_OPEN = Gauge("relais_sockets_open", "Open sockets.", "kind")
SOCKETS_OPENED = Counter("relais_sockets_opened_total", "Sockets that were opened.", "kind")
SOCKETS_CLOSED = Counter(
    "relais_sockets_closed_total",
    "Sockets that ended: the close code, and our reason, or 'peer' where the other side ended it.",
    "code",
    "reason",
)
HANDSHAKES_REFUSED = Counter("relais_handshakes_refused_total", "Sockets that were never let in.", "reason")
FRAMES_RECEIVED = Counter("relais_frames_received_total", "Frames that sockets sent us.")
COMMANDS_REFUSED = Counter(
    "relais_commands_refused_total", "Commands answered with an error frame, by its code.", "code"
)

# Prometheus sees no rise from nothing to one: a series that an alert watches exists from the start.
for code, reason in (("4408", "too_slow"), ("4500", "internal_error")):
    SOCKETS_CLOSED.add(code, reason, n=0)
for reason in ("draining", "origin", "overload", "path", "rate"):
    HANDSHAKES_REFUSED.add(reason, n=0)
for code in ("internal_error", "overloaded", "unavailable"):
    COMMANDS_REFUSED.add(code, n=0)

#: The close codes of RFC 6455 §7.4.1 and of the server.
_KNOWN_CODES = {*range(1000, 1016), *map(int, CloseCode)}


def refused_with(status: int) -> str:
    """The reason that a refused handshake is counted under, by its HTTP status."""
    return {403: "origin", 404: "path", 429: "rate", 503: "overload"}.get(status, "other")


def opened(kind: str) -> None:
    """Count a socket that opened."""
    SOCKETS_OPENED.add(kind)
    SOCKETS_OPEN.add(kind)


def closed(kind: str, code: object, reason: str) -> None:
    """Count a socket that ended; a code that the peer made up is counted as `other`.

    A dialect has close codes of its own: what the server chose is counted as it is.
    """
    label = "other"
    if isinstance(code, int) and (code in _KNOWN_CODES or reason != "peer"):
        label = str(int(code))
    SOCKETS_CLOSED.add(label, reason)
    SOCKETS_OPEN.add(kind, n=-1)
