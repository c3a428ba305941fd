"""The history of a run: what members sent and received, and what the tables hold.

Nothing here judges (`proof.oracle` does) or touches a socket or a clock: times are given, in seconds of one
monotonic clock.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

#: A member in a report: conversation and user.
Seat = tuple[int, int]
Outcome = Literal["ack", "error", "closed"]
#: Closes after which a client does not reconnect: broken, signed out or expired, disabled, not a member.
FINAL = {4400, 4401, 4403, 4404}
#: The close code of a member who was removed from the conversation.
REMOVED = 4404
#: The reason of the `resync` to a member who was removed and added again meanwhile.
REJOINED = "rejoined"


@dataclass(slots=True)
class Attempt:
    """One try to send a message, and how it ended; without an outcome, it was never answered."""

    at: float
    outcome: Outcome | None = None
    ended_at: float = math.inf
    #: The code of the error, or of the close.
    detail: str = ""


class Ack(NamedTuple):
    """The answer to a send after the commit."""

    at: float
    message_id: int
    seq: int
    duplicate: bool = False


@dataclass(slots=True)
class Send:
    """A message that a member wants to send, with all its attempts."""

    conversation: int
    sender: int
    client_id: str
    content: str
    meant_at: float
    attempts: list[Attempt] = field(default_factory=list)
    acks: list[Ack] = field(default_factory=list)
    #: Refused with an error that no repeating changes.
    is_refused: bool = False


class Heard(NamedTuple):
    """One numbered frame, as a receiver got it."""

    at: float
    kind: str
    seq: int
    message_id: int = 0
    #: Empty where the frame has none, and in an edit that also reaches members who may not read the message.
    content: str = ""
    client_id: str = ""


@dataclass(slots=True)
class Connection:
    """One socket of a receiver, with the frames that it got."""

    opened_at: float
    #: The position that it asked to resume from; None if it did not ask.
    since: int | None = None
    #: The seq from which the server says the socket is live.
    subscribed_seq: int | None = None
    subscribed_at: float = math.inf
    #: The reason, if the server answered `resync`.
    resync: str = ""
    closed_at: float = math.inf
    #: The server's close code; None if the receiver closed the socket.
    close_code: int | None = None
    frames: list[Heard] = field(default_factory=list)


class Window(NamedTuple):
    """A time in which something was broken on purpose, or a member was away."""

    start: float
    end: float


@dataclass(slots=True)
class Receiver:
    """The receiving side of one member in one conversation, over all connections."""

    user: int
    conversation: int
    #: Whether it asks only for positions that it was given. Otherwise `resync` is a right answer.
    is_honest: bool = True
    #: Whether it resumes. A page of the guide does not, and never gets what it missed.
    resumes: bool = True
    #: The seqs that it gets, if not all: a page of the guide gets only messages.
    told_only: Collection[int] | None = None
    connections: list[Connection] = field(default_factory=list)
    #: The times in which it was connected and did not read.
    asleep: list[Window] = field(default_factory=list)

    @property
    def seat(self) -> Seat:
        return self.conversation, self.user

    def stands_at(self, time: float) -> bool:
        """Whether it was connected at a time, and live."""
        return bool(self.connections) and (
            self.connections[-1].subscribed_at <= time < self.connections[-1].closed_at
        )

    def frames(self) -> Iterable[Heard]:
        for connection in self.connections:
            yield from connection.frames

    def ears(self) -> Iterable[Receiver]:
        """The receivers to judge by order: one that does not resume is a new one with each connection."""
        if self.resumes:
            yield self
        else:
            yield from (replace(self, connections=[connection]) for connection in self.connections)

    def __str__(self) -> str:
        return f"user {self.user} in conversation {self.conversation}"


class Row(NamedTuple):
    """A message in the table."""

    conversation: int
    seq: int
    message_id: int
    sender: int
    client_id: str
    content: str
    #: Edited or deleted since: its content is no longer the one that was sent.
    is_changed: bool = False


class Interval(NamedTuple):
    """The events that a member may read: those above `after`, up to and including `up_to`."""

    after: int = 0
    up_to: float = math.inf

    def holds(self, seq: int) -> bool:
        return self.after < seq <= self.up_to


#: The intervals of members from the start who stay.
EVERYTHING = (Interval(),)


@dataclass(slots=True)
class Evidence:
    """The whole evidence of one run."""

    sends: Sequence[Send]
    receivers: Sequence[Receiver]
    rows: Sequence[Row]
    #: The readable intervals of members who may not read everything; an empty sequence means nothing.
    readable: Mapping[Seat, Sequence[Interval]] = field(default_factory=dict)
    #: The new texts that members meant to give each message, by message id.
    edits: Mapping[int, Collection[str]] = field(default_factory=dict)
    #: The newest seq of each conversation at the end.
    heads: Mapping[int, int] = field(default_factory=dict)
    #: The expected close codes of users whose rights were ended on purpose, or who made mistakes on purpose.
    #: Removals from a conversation are in `readable` instead.
    sent_away: Mapping[int, int] = field(default_factory=dict)
    faults: Sequence[Window] = ()
    ended_at: float = math.inf

    def may_read(self, seat: Seat, seq: int) -> bool:
        return any(interval.holds(seq) for interval in self.intervals(seat))

    def owes(self, receiver: Receiver, seq: int) -> bool:
        """Whether this receiver must get the event at a seq."""
        is_told = receiver.told_only is None or seq in receiver.told_only
        return is_told and self.may_read(receiver.seat, seq)

    def may_read_edit(self, seat: Seat, seq: int, *, of: int) -> bool:
        """Whether an event at this seq may show that message's text: not to a member who came in between."""
        return any(interval.holds(seq) and interval.holds(of) for interval in self.intervals(seat))

    def may_be_withheld(self, conversation: int, seq: int, *, of: int) -> bool:
        """Whether an event at this seq reaches a member who may not read the message that it is about."""
        members = (seat for seat in self.readable if seat[0] == conversation and self.may_read(seat, seq))
        return any(not self.may_read_edit(seat, seq, of=of) for seat in members)

    def intervals(self, seat: Seat) -> Sequence[Interval]:
        return self.readable.get(seat, EVERYTHING)
