"""The allowance of an HTTP connection: the seconds, bytes and place that it may take for each request.

A server's protocol reports to it what happens. Where that is too much, the allowance raises `RefusedError`
or calls `end`. Seconds are totals: from the first byte of a head to its end, from there to the end of the
body.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum, auto

from realtime.defaults import conf
from realtime.servers import CLOSE_SECONDS, MAX_FRAGMENTS
from realtime.servers.heads import Headers, check
from realtime.servers.places import Place, places
from realtime.servers.refusals import (
    BODIES,
    BODY_TOO_BIG,
    HEAD_TOO_BIG,
    UNFINISHED_BODY,
    UNFINISHED_HEAD,
    UNREAD_ANSWER,
    Refusal,
    RefusedError,
)

#: Bytes around the pieces of a chunked body, its trailers among them: 1 MiB in pieces of 512 takes 14 KiB.
FRAMING_BYTES = 64 * 1024
#: Pieces that a body may be cut into, as chunks or as packets: each costs a server the same, however small.
MAX_PIECES = MAX_FRAGMENTS
#: Bytes of a body that is always taken, so that large ones of strangers keep no message out.
SMALL_BODY_BYTES = 32 * 1024
#: Bytes that larger bodies may take together in a process, until their requests are answered.
LARGE_BODIES_BYTES = 64 * 1024 * 1024
#: Bytes of an answer that a peer must take in LIMIT_ANSWER_SECONDS: 1.6 KB/s, less than any network.
READ_BYTES = 48 * 1024
#: Seconds that a loop may be late before its peers are not to blame.
LATE_SECONDS = 1.0


class Deadline:
    """A timer for something that must happen; the seconds while it is held do not count."""

    __slots__ = ("_due", "_excused", "_is_held", "_late", "_left", "_timer")

    def __init__(self, late: Callable[[], None]) -> None:
        self._late: Callable[[], None] | None = late
        self._due = 0.0
        self._left: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._excused = self._is_held = False

    def start(self, seconds: float) -> None:
        """Start with this many seconds from now, whatever was left before."""
        self.stop()
        self._excused = False
        if self._late is None:
            return
        if self._is_held:
            self._left = seconds
        else:
            self._run(seconds)

    def stop(self) -> None:
        """Stop the timer: what it waited for has happened."""
        self._left = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def forget(self) -> None:
        """Stop the timer for good: its connection is gone."""
        self.stop()
        self._late = None

    def hold(self) -> None:
        """Pause the timer: from here on this server is what prevents the event."""
        self._is_held = True
        if self._timer is not None:
            left = max(0.0, self._due - asyncio.get_running_loop().time())
            self.stop()
            self._left = left

    def go_on(self) -> None:
        """Continue after `hold`, with the seconds that were left."""
        self._is_held = False
        if self._left is not None:
            self._run(self._left)

    def _run(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._left = None
        self._due = loop.time() + seconds
        self._timer = loop.call_at(self._due, self._fire)

    def _fire(self) -> None:
        self._timer = None
        late = asyncio.get_running_loop().time() - self._due
        if late > LATE_SECONDS and not self._excused:
            # The process stood still: what arrived meanwhile is read first. Once, or one that is always late
            # would wait for ever.
            self._excused = True
            self._run(late)
        elif self._late is not None:
            self._late()


class Doing(Enum):
    """The states of a connection: how much of a request has arrived, and whether it is being answered."""

    WAITING = auto()  # nothing of a request is here
    HEAD = auto()
    BODY = auto()
    ANSWERING = auto()  # all of it is here


class _LargeBodies:
    held = 0


_large = _LargeBodies()


def _nothing() -> int:
    return 0


def _nobody(_refusal: Refusal | None) -> None:
    """Stand in for `end` once the connection is gone."""


class Allowance:
    """The allowance of one connection.

    `waiting` says how many bytes wait for its peer; `end` ends it, and is given None when it was idle.
    """

    __slots__ = (
        "_body",
        "_body_held",
        "_end",
        "_is_ending",
        "_pieces",
        "_place",
        "_raw",
        "_reading",
        "_unread",
        "_waited",
        "_waiting",
        "_was_answered",
        "doing",
        "target",
    )

    def __init__(self, *, waiting: Callable[[], int], end: Callable[[Refusal | None], None]) -> None:
        self.doing = Doing.WAITING
        #: What the request asks for whose body is being read: the shape of a refusal depends on it.
        self.target = b""
        self._waiting = waiting
        self._end = end
        self._place: Place | None = None
        self._reading = Deadline(self._reads_too_long)
        self._unread = Deadline(self._unread_too_long)
        #: Bytes off the wire, of what is being read.
        self._raw = 0
        self._body = self._body_held = self._pieces = self._waited = 0
        self._was_answered = self._is_ending = False

    def enter(self, peer: str | None) -> Refusal | None:
        """Take a place for a new connection; returns the refusal if there is none."""
        place = places.take(peer, self._end)
        if isinstance(place, Refusal):
            return place
        self._place = place
        self._reading.start(conf.limit_head_seconds)
        return None

    # --- what is read ---------------------------------------------------------------------------------

    def received(self, size: int) -> None:
        """Count bytes that have arrived and are parsed next."""
        if self.doing is Doing.WAITING:
            self.begins()
        if self.doing is not Doing.ANSWERING:
            self._raw += size
        if self.doing is Doing.BODY and self._raw > conf.limit_body_bytes + FRAMING_BYTES:
            raise RefusedError(BODY_TOO_BIG)

    def parsed(self) -> None:
        """Note that the bytes are parsed: a head that is unfinished must end in time."""
        if self.doing is Doing.HEAD and self._raw > conf.limit_head_bytes:
            raise RefusedError(HEAD_TOO_BIG)

    def begins(self) -> None:
        """Note the first byte of a request."""
        self.doing = Doing.HEAD
        self._raw = 0
        self._reading.start(conf.limit_head_seconds)

    def head(self, method: bytes, target: bytes, version: bytes, headers: Headers) -> bool:
        """Check a complete head; returns whether a body follows."""
        self.target = target
        has_body = check(method, target, version, headers)
        self.doing = Doing.BODY
        self._raw = self._body = self._pieces = 0
        self._reading.start(conf.limit_body_seconds)
        return has_body

    def body(self, size: int) -> None:
        """Count a piece of the body."""
        self._body += size
        if self._body > conf.limit_body_bytes:
            raise RefusedError(BODY_TOO_BIG)
        if self._body > SMALL_BODY_BYTES:
            if _large.held + size > LARGE_BODIES_BYTES:
                raise RefusedError(BODIES)
            _large.held += size
            self._body_held += size
        self._pieces += 1
        if self._pieces > MAX_PIECES:
            raise RefusedError(BODY_TOO_BIG)

    def whole(self) -> None:
        """Note that the whole request has arrived."""
        self.doing = Doing.ANSWERING
        self.target = b""
        self._reading.stop()
        if self._place is not None:
            self._place.works()

    def hold(self) -> None:
        """Note that reading has paused because our own application is behind."""
        self._reading.hold()

    def go_on(self) -> None:
        """Note that reading goes on."""
        self._reading.go_on()

    # --- what is written ------------------------------------------------------------------------------

    def unread(self) -> None:
        """Note that much of an answer waits for the peer, and start the time in which it must be taken."""
        self._watch_what_waits()
        if self._place is not None:
            self._place.waits()

    def is_read(self) -> None:
        """Note that the peer took what waited."""
        if self._is_ending:  # the rest must be taken too
            return
        self._unread.stop()
        if self._place is not None and self.doing is Doing.ANSWERING:
            self._place.works()

    def answered(self) -> None:
        """Note that the answer is on its way and no other request waits."""
        self._give_back()
        if self._place is not None:
            self._place.waits()
        if self.doing is Doing.ANSWERING:
            self.doing = Doing.WAITING
            self._was_answered = True
            self._reading.start(conf.limit_head_seconds)

    # --- the end --------------------------------------------------------------------------------------

    def stops(self) -> None:
        """Note that nothing more is read."""
        self._reading.stop()

    def closes(self) -> None:
        """Note that nothing more is read or written; what is left must be taken in time."""
        if not self._is_ending:
            self._is_ending = True
            self._reading.stop()
            self._watch_what_waits()

    def lingers(self) -> None:
        """Give a refused peer a moment to notice."""
        self._is_ending = True
        self._reading.stop()
        self._waited = 0
        self._unread.start(CLOSE_SECONDS)

    def gone(self) -> None:
        """Give everything back: the connection is lost, or is a WebSocket from now on."""
        self._reading.forget()
        self._unread.forget()
        self._give_back()
        if self._place is not None:
            self._place.leave()
            self._place = None
        # Nothing refers back to the protocol, which goes now and not when the collector comes.
        self._waiting, self._end = _nothing, _nobody

    def _give_back(self) -> None:
        _large.held -= self._body_held
        self._body_held = 0

    def _reads_too_long(self) -> None:
        if self.doing is Doing.BODY:
            self._end(UNFINISHED_BODY)
        elif self.doing is Doing.HEAD or not self._was_answered:
            self._end(UNFINISHED_HEAD)
        else:
            self._end(None)

    def _watch_what_waits(self) -> None:
        self._waited = self._waiting()
        self._unread.start(conf.limit_answer_seconds)

    def _unread_too_long(self) -> None:
        if self._waited - self._waiting() >= READ_BYTES:
            self._watch_what_waits()
        else:
            self._end(UNREAD_ANSWER)
