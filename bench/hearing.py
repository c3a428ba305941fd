"""Hearing: counts what the sockets receive during a load, and samples delays of messages and answers."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from bench.counting import Saw, events_in, whole_number
from bench.speech import Style, heard, said_at

if TYPE_CHECKING:
    from bench.client import Client

#: The last digits of consecutive numbers, for the longest run that a buffer can hold.
DIGITS = b"0123456789" * 50_000
#: The most samples kept, so that the generator's memory is bounded.
MAX_SAMPLES = 2_000_000


class Hearing:
    """Counts the frames of all sockets; `Load` decides who speaks next."""

    def __init__(self, style: Style, client: Client, *, seq: bytes = b"", members: int = 0) -> None:
        self._client = client
        #: Whether answers to commands arrive among the messages, so that they have to be told apart.
        self.has_answers = style in ("acknowledged", "native")
        self._saw: Saw = {"acknowledged": self._saw_acknowledged, "native": self._saw_native}.get(
            style, self._saw_messages
        )
        #: The members of the conversation, if each message reaches all of them before the next is sent; else
        #: 0.
        self._members = members
        if members:
            self._saw = self._saw_reach
        #: Nanoseconds, as below: until a message reached its first member, until its last, and how long the
        #: message before was still being delivered.
        self.first: list[int] = []
        self.last: list[int] = []
        self.behind: list[int] = []
        #: When the message that is being delivered was sent.
        self._said = 0
        self.received = 0
        #: Messages whose seq does not follow the one before.
        self.faults = 0
        self._seq = seq
        #: The place of the seq's last digit in a frame, by the frame's length.
        self._columns: dict[int, int] = {}
        self.errors: Counter[str] = Counter()
        #: Nanoseconds, of messages sent between `opens_at` and `closes_at`.
        self.delivered: list[int] = []
        self.answered: list[int] = []
        self.opens_at = self.closes_at = 0
        #: One delivery of so many is sampled.
        self.every = 1
        self._until_sample = 0

    def echo(self, client: Client, said: int) -> None:
        """A speaker's message has come back, or was acknowledged."""
        raise NotImplementedError

    def said_since(self, said: int) -> int:
        """When the message after the one sent at `said` was sent; the present if there is none yet."""
        raise NotImplementedError

    def listen(self, client: Client) -> Saw:
        """Take the next frames as this client's; returns the function that sees them."""
        self._client = client
        return self._saw if client.watch is None else self._saw_watched

    def heard_from(self, client: Client) -> None:
        """All frames of one read were seen."""

    def _saw_messages(self, buffer: bytearray, position: int, frames: int, stride: int) -> None:
        """See a run of messages. This is the hot path: a few operations for any number of them."""
        self.received += frames
        self._until_sample -= frames
        if self._until_sample < 0:
            self._sample(buffer, position, frames, stride)
        if self._seq:
            self._check_order(buffer, position, frames, stride)
        client = self._client
        if (
            client.awaiting_since
            and buffer.find(client.echo_marker, position, position + frames * stride) >= 0
        ):
            self.echo(client, client.awaiting_since)

    def _saw_reach(self, buffer: bytearray, position: int, frames: int, stride: int) -> None:
        """Like `_saw_messages`; also notes each message's first and last delivery, found by counting."""
        told, members = self.received % self._members, self._members
        if not told:
            self._said = said_at(buffer, position, position + stride)
            self.keep(self.first, self._said)
        if told + frames >= members:
            self.keep(self.last, self._said)
            self.keep(self.behind, self.said_since(self._said))
        if told + frames > members:  # one member's read was late, and has the next message too
            end = position + frames * stride
            self._said = said_at(buffer, end - stride, end)
            self.keep(self.first, self._said)
        self._saw_messages(buffer, position, frames, stride)

    def _check_order(self, buffer: bytearray, position: int, frames: int, stride: int) -> None:
        """Check that every seq follows the last. In a run, the last digits of the seqs form one column."""
        client = self._client
        column = self._columns.get(stride)
        if client.next_seq is not None and column is not None:
            digits = buffer[position + column : position + frames * stride : stride]
            expected = client.next_seq % 10
            if digits == DIGITS[expected : expected + frames]:
                client.next_seq += frames
                return
        # The first run, a longer number, or a fault: look at each frame.
        for start in range(position, position + frames * stride, stride):
            found = whole_number(bytes(buffer[start : start + stride]), self._seq)
            if found is None:
                continue
            seq, self._columns[stride] = found
            self.faults += client.next_seq not in (None, seq)
            client.next_seq = seq + 1

    def _saw_acknowledged(self, buffer: bytearray, position: int, frames: int, stride: int) -> None:
        """See messages and acks, told apart by the first letter of their type: slower, for small topics."""
        letter = position + (13 if stride > 127 else 11)  # after the frame's header and {"type":"
        for start in range(position, position + frames * stride, stride):
            kind = buffer[letter + start - position]
            if kind == 0x6D:  # message
                self._client.message_count += 1
                self.received += 1
                self._until_sample -= 1
                if self._until_sample < 0:
                    self._sample(buffer, start, 1, stride)
            elif kind == 0x61:  # ack
                ref = whole_number(bytes(buffer[start : start + stride]), b"ref")
                self.echo(self._client, ref[0] * 1000 if ref else 0)
            elif kind == 0x65:  # error
                self._heard_error(bytes(buffer[start : start + stride]))

    def _saw_native(self, buffer: bytearray, position: int, frames: int, stride: int) -> None:
        """Like `_saw_messages`, but leaves out answers: on the native socket every command gets one."""
        events = events_in(buffer, position, frames, stride)
        if events == frames:
            self._client.message_count += frames
            self._saw_messages(buffer, position, frames, stride)
        elif frames > 1:
            for start in range(position, position + frames * stride, stride):
                self._saw_native(buffer, start, 1, stride)
        else:
            answer = bytes(buffer[position : position + stride])
            if b'{"type":"error"' in answer:
                self._heard_error(answer)

    def _heard_error(self, frame: bytes) -> None:
        code = frame.partition(b'"code":"')[2].partition(b'"')[0]
        self.errors[code.decode("latin1")] += 1

    def _saw_watched(self, buffer: bytearray, position: int, frames: int, stride: int) -> None:
        """Read every frame: each speaker's numbers must follow each other."""
        client = self._client
        for start in range(position, position + frames * stride, stride):
            said = heard(buffer, start, start + stride)
            if said is None or client.watch is None:
                continue
            before = client.watch.get(said.sender)
            self.faults += before is not None and said.number != before + 1
            client.watch[said.sender] = said.number
        self._saw(buffer, position, frames, stride)

    def _sample(self, buffer: bytearray, position: int, frames: int, stride: int) -> None:
        """Sample one delivery of so many, wherever it stands in a run."""
        index = frames + self._until_sample
        while index < frames:
            start = position + index * stride
            self.keep(self.delivered, said_at(buffer, start, start + stride))
            index += self.every
        self._until_sample = index - frames

    def keep(self, samples: list[int], said: int) -> None:
        """Keep the time since `said`, if the message was sent in the window."""
        if self.opens_at <= said < self.closes_at and len(samples) < MAX_SAMPLES:
            samples.append(time.monotonic_ns() - said)
