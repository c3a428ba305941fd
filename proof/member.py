"""One member of one conversation: reconnects, resumes, and repeats sends that were not acknowledged.

It does what a good client of Relais does (docs/protocols/guide.md), and logs everything that it sends and
receives.
"""

from __future__ import annotations

import json
import math
import random
import uuid
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from proof.dialects import Dialect, Frame, Ours
from proof.history import Ack, Attempt, Connection, Heard, Receiver, Send, Window
from proof.returning import Returning

#: Events that a resume brings, and that are judged; other frames (receipts, pong) have no number.
SENT_AGAIN = {"internal_error"}


#: How a member listens: on a socket of the guide with v1 or without, or on a native one, which is subscribed
#: to each conversation or to all of the user's own.
How = Literal["v1", "guide", "each", "mine"]


class Place(NamedTuple):
    """The seat of a member, and how it connects."""

    conversation: int
    user: int
    token: str = ""
    how: How = "v1"
    #: Other conversations that the user's native socket is subscribed to, in which nobody speaks.
    beside: tuple[int, ...] = ()


def text(user: int, number: int, size: int = 0) -> str:
    """The text of a user's message by its number; no two are alike, and not all of it is ASCII."""
    return f"{user}.{number} déjà vu 🎈 «{number % 97:02d}»".ljust(size, "·")


def speaker_of(content: str) -> int:
    """The user who sent a text."""
    return int(content.partition(".")[0])


class Member(Returning):
    """Logs into `receiver` and `sends`; `port` chooses the worker to try next."""

    def __init__(
        self,
        place: Place,
        *,
        port: Callable[[], int],
        rng: random.Random,
        dialect: Dialect = Ours,
        resumes: bool = True,
    ) -> None:
        super().__init__(port=port, rng=rng)
        self.receiver = Receiver(place.user, place.conversation)
        self.token = place.token
        self.sends: list[Send] = []
        #: Messages that it meant to edit, with their new texts.
        self.edits: list[tuple[int, str]] = []
        #: The position that it will resume from: the last one it was given, or nonsense.
        self.since: int | str | None = None
        #: The highest seq that it received.
        self.position = 0
        #: The newest message that it received.
        self.newest = 0
        self.dialect = dialect
        self.resumes = resumes
        #: The codes of the error frames that it received, with their times.
        self.errors: list[tuple[float, str]] = []
        self._connection: Connection | None = None
        self._pending: dict[str, Send] = {}
        #: Client ids of sends that were refused for now and will be repeated later.
        self._later: set[str] = set()
        #: The send that a ref stands for; a guide page has no refs, and uses the text.
        self._open: dict[int | str, tuple[Send, Attempt]] = {}
        #: The texts that a page of the guide takes for refused.
        self._blamed: dict[str, tuple[Send, Attempt, Frame]] = {}
        self._refs = 0

    # --- what a scenario asks of it ---------------------------------------------------------------------

    def stop_reading(self) -> None:
        """Stop reading from the open socket."""
        self.receiver.asleep.append(Window(self._loop.time(), math.inf))
        if self._socket is not None:
            self._socket.stop_reading()

    def read_on(self) -> None:
        """Read what has piled up, and reconnect if that was too much."""
        self.receiver.asleep[-1] = self.receiver.asleep[-1]._replace(end=self._loop.time())
        if self._socket is not None:
            self._socket.read_on()

    @property
    def unanswered(self) -> int:
        """The number of sends that wait for an answer."""
        return len(self._pending)

    def say(self, content: str = "") -> Send:
        """Send something now, or as soon as it is connected."""
        content = content or text(self.receiver.user, len(self.sends))
        name = str(uuid.UUID(int=self.rng.getrandbits(128), version=4))
        place = self.receiver
        send = Send(place.conversation, place.user, name, content, self._loop.time())
        self.sends.append(send)
        self._pending[name] = send
        if self._ready.is_set():
            self._attempt(send)
        return send

    def edit(self, message_id: int, content: str) -> None:
        """Give one of its messages another text, if it is connected."""
        self.edits.append((message_id, content))
        self.ask(type="edit", message_id=message_id, message=content)

    def begin_anew(self, sends: list[Send]) -> None:
        """A restored backup made its history void, as it will learn; only these sends are left."""
        self.receiver = Receiver(self.receiver.user, self.receiver.conversation, is_honest=False)
        self.sends = sends

    def ask(self, **command: Any) -> None:
        """Send a command whose answer does not matter; lost if it is not connected."""
        if self._socket is not None and self._ready.is_set():
            self._socket.say(json.dumps(command).encode())

    # --- coming and going -------------------------------------------------------------------------------

    def path(self) -> str:
        return self.dialect.path(self)

    def opened(self) -> None:
        now = self._loop.time()
        asked = str(self.since).partition("-")[0]
        self._connection = Connection(now, since=int(asked) if asked.isdigit() else None)
        self.receiver.connections.append(self._connection)
        if not self.dialect.greets:
            self._is_live(now)

    def ended(self, code: int, *, status: int, retry_after: float) -> None:
        super().ended(code, status=status, retry_after=retry_after)
        self._cut_off(None if self._leaves else code, str(code))

    def _cut_off(self, close_code: int | None, detail: str) -> None:
        """Close the log of the connection: its sends stay unanswered, and nothing more arrives."""
        now = self._loop.time()
        self._stop_listening(close_code)
        for _, attempt in self._open.values():
            attempt.outcome, attempt.ended_at, attempt.detail = "closed", now, detail
        self._open.clear()
        if not self.dialect.repeats:
            self._pending.clear()

    def _stop_listening(self, close_code: int | None) -> None:
        if self._connection is not None:
            self._connection.closed_at = self._loop.time()
            self._connection.close_code = close_code
        self._connection = None
        self._ready.clear()

    def _is_live(self, now: float) -> None:
        assert self._connection is not None
        self._connection.subscribed_at = now
        self._failures = 0
        self._ready.set()
        for send in list(self._pending.values()):
            if send.client_id not in self._later:
                self._attempt(send)

    # --- saying -----------------------------------------------------------------------------------------

    def _attempt(self, send: Send) -> None:
        if send.client_id not in self._pending or self._socket is None or not self._ready.is_set():
            return
        if send.attempts and send.attempts[-1].ended_at == math.inf:
            return  # sent on this connection already, and not answered yet
        ref, attempt = self._new_ref(send), Attempt(self._loop.time())
        send.attempts.append(attempt)
        self._open[ref] = send, attempt
        self._socket.say(self.dialect.say(send, ref))

    def _new_ref(self, send: Send) -> int | str:
        self._refs += 1
        return self._refs if self.dialect.greets else send.content

    def _repeat(self, send: Send) -> None:
        """Repeat a send that was refused for now; without a connection, the next one does it."""
        self._later.discard(send.client_id)
        self._attempt(send)

    def _answered(self, key: int | str | None, now: float) -> tuple[Send, Attempt] | None:
        found = self._open.pop(key, None) if key is not None else None
        if found is not None:
            found[1].ended_at = now
        return found

    # --- hearing ----------------------------------------------------------------------------------------

    def heard(self, payload: bytes) -> None:
        self.told(self.read(payload), self._loop.time())

    def told(self, frame: Frame, now: float) -> None:
        """Take a frame of this conversation."""
        match frame.type:
            case "ack":
                self._acknowledged(frame, now)
            case "error":
                self._refused(frame, now)
            case "subscribed" | "resync":
                self._placed(frame, now)
            case "message" if not self.dialect.greets:
                self._note(frame, now)
                if (found := self._came_back(frame.content or "", now)) is not None:
                    self._settle(*found, Ack(now, frame.message_id or 0, frame.seq))
            case _ if frame.seq:
                self._note(frame, now)
                if frame.seq > self.position:
                    self._stands_at(frame)

    def _note(self, frame: Frame, now: float) -> None:
        if frame.type == "message":
            self.newest = max(self.newest, frame.seq)
        # A frame on a native socket that arrives after the subscription's end is judged too.
        self.receiver.connections[-1].frames.append(
            Heard(
                now, frame.type, frame.seq, frame.message_id or 0, frame.content or "", frame.client_id or ""
            )
        )

    def _placed(self, frame: Frame, now: float) -> None:
        assert self._connection is not None
        self._connection.subscribed_seq = frame.seq
        if frame.type == "resync":
            self._connection.resync = frame.reason or ""
        if frame.type == "resync" or frame.seq >= self.position:
            self._stands_at(frame)
        self._is_live(now)

    def _stands_at(self, frame: Frame) -> None:
        if self.resumes:
            self.position, self.since = frame.seq, frame.position or frame.seq

    def _acknowledged(self, frame: Frame, now: float) -> None:
        found = self._answered(frame.ref, now)
        if found is not None:
            self._settle(*found, Ack(now, frame.message_id or 0, frame.seq, frame.duplicate))

    def _settle(self, send: Send, attempt: Attempt, ack: Ack) -> None:
        attempt.outcome = "ack"
        send.acks.append(ack)
        self._pending.pop(send.client_id, None)

    def _refused(self, frame: Frame, now: float) -> None:
        self.errors.append((now, frame.code or ""))
        # A guide page cannot tell which send an error is about, and blames the first that waits.
        ref = frame.ref if self.dialect.greets else next(iter(self._open), None)
        found = self._answered(ref, now)
        if found is None:
            if frame.retry_after_ms:
                self._wait = frame.retry_after_ms / 1000  # precedes a close: reconnect then
                self.hints.append(now + self._wait)
            return
        send, attempt = found
        attempt.outcome, attempt.detail = "error", frame.code or ""
        if self.dialect.repeats and (frame.retryable or frame.code in SENT_AGAIN):
            wait = (frame.retry_after_ms or 500) / 1000
            self._later.add(send.client_id)
            self._loop.call_later(wait * self.rng.uniform(0.5, 1.0), self._repeat, send)
        else:
            send.is_refused = True
            self._pending.pop(send.client_id, None)
            if not self.dialect.greets:
                self._blamed[send.content] = send, attempt, frame

    def _came_back(self, content: str, now: float) -> tuple[Send, Attempt] | None:
        """The send of a guide page whose text came back; if an error was blamed on it, that is corrected."""
        if content not in self._blamed:
            return self._answered(content, now)
        send, attempt, error = self._blamed.pop(content)
        send.is_refused, attempt.detail, attempt.ended_at = False, "", now
        if self._open:
            self._refused(error, now)
        return send, attempt
