"""What the core counts about itself; `docs/operations/metrics.md` explains each to who reads it.

Labels hold what we chose ourselves (a kind of socket, one of our codes), never what a client sent.
"""

from __future__ import annotations

import re
import time

from realtime.errors import CloseCode
from realtime.metrics.instruments import Counter, Gauge, Histogram
from realtime.wire.prepared import Wire

#: From what nobody notices to what everybody does; a head check makes up for a lost bell within 5 s.
LATENCY_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)

# --- sockets ------------------------------------------------------------------------------------------

SOCKETS_OPEN = Gauge("relais_sockets_open", "Open sockets.", "kind")
SOCKETS_OPENED = Counter("relais_sockets_opened_total", "Sockets that were opened.", "kind")
SOCKETS_CLOSED = Counter(
    "relais_sockets_closed_total",
    "Sockets that ended: the close code, and our reason, or 'peer' where the other side ended it.",
    "code",
    "reason",
)
HANDSHAKES_REFUSED = Counter("relais_handshakes_refused_total", "Sockets that were never let in.", "reason")
CONNECTIONS_ENDED = Counter(
    "relais_connections_ended_total", "Connections that a server ended because of its peer.", "reason"
)
FRAMES_RECEIVED = Counter("relais_frames_received_total", "Frames that sockets sent us.")
COMMANDS_REFUSED = Counter(
    "relais_commands_refused_total", "Commands answered with an error frame, by its code.", "code"
)

# --- requests -----------------------------------------------------------------------------------------

REQUESTS_REFUSED = Counter(
    "relais_requests_refused_total", "Requests answered 429 or 503, by the limit that was reached.", "reason"
)

# --- telling ------------------------------------------------------------------------------------------

DELIVERIES = Counter("relais_deliveries_total", "Events written to sockets: frames times sockets.")
DELIVERY_SECONDS = Histogram(
    "relais_delivery_seconds",
    "From the commit of the oldest event of a flush until it was written to the sockets of a worker.",
    LATENCY_SECONDS,
)
EVENTS_GIVEN_WAY = Counter(
    "relais_events_given_way_total", "Ephemeral events that a slow reader was spared.", "kind"
)
EVENTS_BACKFILLED = Counter(
    "relais_events_backfilled_total", "Events the hub read from the log because no bell had brought them."
)
EVENTS_REPLAYED = Counter(
    "relais_events_replayed_total", "Events read from the log by sockets that resumed behind the others."
)
TOPICS = Gauge("relais_topics", "Topics that somebody listens to.")
OUTBOX_WAITING_BYTES = Gauge(
    "relais_outbox_waiting_bytes", "Bytes waiting for readers who let more than 16 KiB wait."
)
OUTBOX_LARGEST_BYTES = Gauge(
    "relais_outbox_largest_bytes", "Bytes waiting for the slowest of these readers.", combine="max"
)

# --- between processes --------------------------------------------------------------------------------

BELLS = Counter(
    "relais_bells_total", "Bells, by what became of them: rung, failed, heard, unreadable.", "outcome"
)
BELL_EVENTS_DROPPED = Counter(
    "relais_bell_events_dropped_total", "Events that no bell took to the other processes: too many waited."
)
RINGER_WAITING = Gauge("relais_ringer_waiting_events", "Events waiting for a bell.")
LAYERS_LOST = Gauge("relais_layers_lost", "Workers that do not hear each other: Redis is away.")

# --- the database -------------------------------------------------------------------------------------

DATABASE_BUSY = Gauge("relais_database_threads_busy", "Database threads of the sockets that have a call.")
DATABASE_WAITING = Gauge("relais_database_calls_waiting", "Calls of sockets waiting for a database thread.")
DATABASE_FAILED = Counter("relais_database_calls_failed_total", "Calls that found the database away.")
CHORE_DONE = Gauge(
    "relais_chore_done_timestamp_seconds", "When a worker last did this chore.", "chore", combine="max"
)
OUTAGES = Counter("relais_outages_total", "How often something we depend on went away.", "what")


# What an alert waits for is there from the start: Prometheus sees no rise in what was not there before.
for code, reason in (("4408", "too_slow"), ("4500", "internal_error")):
    SOCKETS_CLOSED.add(code, reason, n=0)
for reason in ("draining", "origin", "overload", "path", "rate"):
    HANDSHAKES_REFUSED.add(reason, n=0)
for reason in (
    "logins",
    "logins_per_account",
    "logins_per_address",
    "passwords",
    "registrations",
    "rest",
    "strangers",
):
    REQUESTS_REFUSED.add(reason, n=0)
for reason in ("bodies", "connections", "connections_per_address"):
    CONNECTIONS_ENDED.add(reason, n=0)
for code in ("internal_error", "overloaded", "unavailable"):
    COMMANDS_REFUSED.add(code, n=0)
for outcome in ("rung", "failed", "heard", "unreadable"):
    BELLS.add(outcome, n=0)
for what in ("database", "layer", "layer_out"):
    OUTAGES.add(what, n=0)


def refused_with(status: int) -> str:
    """Why a handshake is refused with this HTTP status."""
    return {403: "origin", 404: "path", 429: "rate", 503: "overload"}.get(status, "other")


#: RFC 6455 §7.4.1, and ours.
_KNOWN_CODES = {*range(1000, 1016), *map(int, CloseCode)}


def closed(kind: str, code: object, reason: str) -> None:
    """A socket ended; a code that the peer made up is one of the others."""
    SOCKETS_CLOSED.add(str(int(code)) if isinstance(code, int) and code in _KNOWN_CODES else "other", reason)
    SOCKETS_OPEN.add(kind, n=-1)


def opened(kind: str) -> None:
    """A socket is there."""
    SOCKETS_OPENED.add(kind)
    SOCKETS_OPEN.add(kind)


#: An event's JSON begins with its type; inside a text the quotes would be escaped.
_TYPE = re.compile(rb'\{"type":"([a-z_.]{1,40})"')


def gave_way(frames: bytes) -> None:
    """Droppable frames, whatever joins them, were not written: count what they were. Rare, so it may look."""
    for kind in _TYPE.findall(frames):
        EVENTS_GIVEN_WAY.add(kind.decode())


def written(told_at: float | None) -> None:
    """What was told at this time (None: it came from the log) is with the sockets now."""
    if told_at:
        # Another machine's clock may be ahead of ours.
        DELIVERY_SECONDS.observe(max(0.0, time.time() - told_at))


# --- outboxes whose peers are slow --------------------------------------------------------------------

#: The wires that outboxes watch: they come when more waits than usual, and go with that or with the socket.
slow_wires: set[Wire] = set()


OUTBOX_WAITING_BYTES.reads(lambda: sum(wire.waiting() for wire in slow_wires))
OUTBOX_LARGEST_BYTES.reads(lambda: max((wire.waiting() for wire in slow_wires), default=0))
