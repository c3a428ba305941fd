"""The reasons for which a server ends a connection because of its peer: each is counted and logged.

The log lines have a rate that somebody can read: a stranger may be ended thousands of times in a second.

A socket that our own code closes (4401, 4408, …) is logged by `Connection` instead.
"""

from __future__ import annotations

import logging
import time
from typing import Literal

from realtime.rates import Bucket, Rate
from realtime.servers import metrics

logger = logging.getLogger(__name__)

Reason = Literal[
    "unfinished_head",  # a request, most of the time a handshake, not asked in LIMIT_HEAD_SECONDS
    "unfinished_body",  # the body of a request, not sent in LIMIT_BODY_SECONDS
    "unread_answer",  # an answer of which too little was taken in LIMIT_ANSWER_SECONDS
    "bad_request",  # not HTTP, or a request that two servers could understand in two ways
    "head_too_big",  # above LIMIT_HEAD_BYTES, or too many headers
    "body_too_big",  # above LIMIT_BODY_BYTES, announced or sent
    "bodies",  # a large body beside too many others
    "pipelined",  # more requests before the first answer than a client has reason to send
    "connections",  # made room for another, or found none: LIMIT_CONNECTIONS
    "connections_per_address",  # the same for LIMIT_CONNECTIONS_PER_ADDRESS
    "protocol_error",  # RFC 6455 was broken
    "not_utf8",  # a text or the reason of a close that is no UTF-8
    "too_big",  # a message above the limit of its path
    "too_many_fragments",  # a message in more than MAX_FRAGMENTS frames
    "flood",  # more pings, pongs or small fragments than LIMIT_CONTROL_FRAMES and LIMIT_FRAGMENTS allow
    "unfinished_message",  # begun, and not ended within LIMIT_UNFINISHED_SECONDS
    "no_pong",  # a ping was not answered: half-open, most of the time
    "unanswered_close",  # our close frame was not answered, or what is before it not read
]

REASON_OF_CODE: dict[int, Reason] = {
    1002: "protocol_error",
    1007: "not_utf8",
    1009: "too_big",
    4408: "unfinished_message",
    4429: "flood",
}


#: The counts show a flood; its first log lines show what it looks like.
LINES = Rate.parse("20/s:500")
_lines = Bucket()


def ended(reason: Reason, *, client: object, path: str, close_code: int | None = None) -> None:
    """Count and log a connection ended because of its peer, but never its payload: that may be anything."""
    metrics.CONNECTIONS_ENDED.add(reason)
    if _lines.wait(LINES, time.monotonic()):
        return
    logger.info(
        "A connection was ended because of its peer",
        extra={"reason": reason, "ip": client, "socket_path": path, "close_code": close_code},
    )
