"""What happened, as each side wrote it down: what was said and heard, and what the tables say of it.

Nothing here judges (that is `proof.oracle`) or touches a socket or a clock: times are given, in seconds of
one monotonic clock.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

#: What a person in a conversation is called in a report.
Seat = tuple[int, int]
Outcome = Literal["ack", "error", "closed"]
#: Closes after which a client does not come back: broken, signed out or expired, disabled, not theirs.
FINAL = {4400, 4401, 4403, 4404}
#: The one of them for who was removed from the conversation.
REMOVED = 4404
#: The reason of the `resync` that somebody is answered who was removed and taken back meanwhile.
REJOINED = "rejoined"


@dataclass(slots=True)
class Attempt:
    """A message handed to a socket once, and how that ended; no outcome: it was never answered."""

    at: float
    outcome: Outcome | None = None
    ended_at: float = math.inf
    #: The code of the error, or of the close.
    detail: str = ""


class Ack(NamedTuple):
    """What a sender was told after the commit."""

    at: float
    message_id: int
    seq: int
    duplicate: bool = False


@dataclass(slots=True)
class Send:
    """One thing somebody wanted to say, however often it took."""

    conversation: int
    sender: int
    client_id: str
    content: str
    meant_at: float
    attempts: list[Attempt] = field(default_factory=list)
    acks: list[Ack] = field(default_factory=list)
    #: Answered by an error that no repeating mends.
    is_refused: bool = False


class Heard(NamedTuple):
    """One numbered frame, as a receiver got it."""

    at: float
    kind: str
    seq: int
    message_id: int = 0
    #: Empty where there is none, and in an edit that also reaches members who may not read the message.
    content: str = ""
    client_id: str = ""


@dataclass(slots=True)
class Connection:
    """One socket of a receiver, from when it was told where it stands."""

    opened_at: float
    #: The position it asked to resume from; None did not ask.
    since: int | None = None
    #: Where the server says the replay ended, or where a new socket begins.
    subscribed_seq: int | None = None
    subscribed_at: float = math.inf
    #: The reason when the server answered `resync`.
    resync: str = ""
    closed_at: float = math.inf
    #: What the server closed it with; None when it did not, because its receiver left.
    close_code: int | None = None
    frames: list[Heard] = field(default_factory=list)


class Window(NamedTuple):
    """A time in which something was broken on purpose, or somebody was away."""

    start: float
    end: float


@dataclass(slots=True)
class Receiver:
    """One person's ears in one conversation, over all their connections."""

    user: int
    conversation: int
    #: Asks only for positions it was told. Others are bound to be answered with `resync`.
    is_honest: bool = True
    #: A page of the guide begins anew with each connection: what is said meanwhile it never learns.
    resumes: bool = True
    #: The seqs that it is told of, where these are not all: a page of the guide knows messages alone.
    told_only: Collection[int] | None = None
    connections: list[Connection] = field(default_factory=list)
    #: When it was connected and did not read.
    asleep: list[Window] = field(default_factory=list)

    @property
    def seat(self) -> Seat:
        return self.conversation, self.user

    def stands_at(self, time: float) -> bool:
        """Whether it was connected then, and knew where it stands."""
        return bool(self.connections) and (
            self.connections[-1].subscribed_at <= time < self.connections[-1].closed_at
        )

    def frames(self) -> Iterable[Heard]:
        for connection in self.connections:
            yield from connection.frames

    def ears(self) -> Iterable[Receiver]:
        """Those who hear everything in order: who begins anew is somebody else with each connection."""
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
    #: Edited or deleted since: its content is no longer what was said.
    is_changed: bool = False


class Interval(NamedTuple):
    """Events that a member may read: those above `after`, up to and including `up_to`."""

    after: int = 0
    up_to: float = math.inf

    def holds(self, seq: int) -> bool:
        return self.after < seq <= self.up_to


#: What members read who were there from the start and stay.
EVERYTHING = (Interval(),)


@dataclass(slots=True)
class Evidence:
    """All that one run left behind."""

    sends: Sequence[Send]
    receivers: Sequence[Receiver]
    rows: Sequence[Row]
    #: Who may read what, where it is not everything; an empty sequence: nothing.
    readable: Mapping[Seat, Sequence[Interval]] = field(default_factory=dict)
    #: What each message was given as its new text, by those who meant to edit it.
    edits: Mapping[int, Collection[str]] = field(default_factory=dict)
    #: The newest seq of each conversation, once everything was said and done.
    heads: Mapping[int, int] = field(default_factory=dict)
    #: Whose rights were ended on purpose, or who made mistakes on purpose: the code their sockets close with.
    #: Who was removed from a conversation needs no mention, `readable` says it.
    sent_away: Mapping[int, int] = field(default_factory=dict)
    faults: Sequence[Window] = ()
    ended_at: float = math.inf

    def may_read(self, seat: Seat, seq: int) -> bool:
        return any(interval.holds(seq) for interval in self.intervals(seat))

    def owes(self, receiver: Receiver, seq: int) -> bool:
        """Whether this receiver is to be told what stands at a seq."""
        is_told = receiver.told_only is None or seq in receiver.told_only
        return is_told and self.may_read(receiver.seat, seq)

    def may_read_edit(self, seat: Seat, seq: int, *, of: int) -> bool:
        """Whether what is told at this seq may carry the text of that message: not to who came between."""
        return any(interval.holds(seq) and interval.holds(of) for interval in self.intervals(seat))

    def may_be_withheld(self, conversation: int, seq: int, *, of: int) -> bool:
        """Whether an event at this seq reaches somebody who may not read the message that it is about."""
        members = (seat for seat in self.readable if seat[0] == conversation and self.may_read(seat, seq))
        return any(not self.may_read_edit(seat, seq, of=of) for seat in members)

    def intervals(self, seat: Seat) -> Sequence[Interval]:
        return self.readable.get(seat, EVERYTHING)
