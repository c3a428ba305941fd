"""A member sends again once what was refused, however often its connection ends meanwhile."""

from __future__ import annotations

import asyncio
import json
import random

import pytest

from proof.dialects import Guide
from proof.member import Member, Place
from proof.scenarios.overload import Paced

pytestmark = pytest.mark.stack("small")


class Wire:
    """A socket that only notes the frames it is given."""

    def __init__(self) -> None:
        self.refs: list[int] = []

    def say(self, payload: bytes) -> None:
        self.refs.append(json.loads(payload)["ref"])


def connected(member: Member) -> Wire:
    wire = Wire()
    member._socket = wire  # type: ignore[assignment]  # as much of one as is used here
    member.opened()
    tell(member, type="subscribed", seq=0)
    return wire


def tell(member: Member, **frame) -> None:
    member.heard(json.dumps(frame).encode())


def refuse(member: Member, ref: int) -> None:
    tell(member, type="error", code="overloaded", ref=ref, retryable=True, retry_after_ms=40)


def cut(member: Member) -> None:
    member.ended(1006, status=101, retry_after=0)


def made(kind: type[Member] = Member) -> Member:
    return kind(Place(7, 1), port=lambda: 0, rng=random.Random(1))


def test_refused_message_is_sent_again_once_over_many_connections():
    async def play() -> None:
        member = made()
        wire = connected(member)
        member.say()
        refuse(member, wire.refs[0])
        for _ in range(3):
            cut(member)
            wire = connected(member)
        assert wire.refs == []

        await asyncio.sleep(0.1)
        assert len(wire.refs) == 1

    asyncio.run(play())


def test_repetition_due_while_disconnected_is_sent_with_the_next_connection():
    async def play() -> None:
        member = made()
        refuse(member, (connected(member), member.say())[0].refs[0])
        cut(member)
        await asyncio.sleep(0.1)

        assert len(connected(member).refs) == 1

    asyncio.run(play())


def test_unanswered_message_is_not_sent_again_on_the_same_connection():
    async def play() -> None:
        member = made()
        wire = connected(member)
        member.say()
        tell(member, type="resync", seq=0, reason="gap")
        assert len(wire.refs) == 1

        cut(member)
        assert len(connected(member).refs) == 1

    asyncio.run(play())


def test_paced_member_says_what_was_refused_in_place_of_something_new():
    async def play() -> None:
        member = made(Paced)
        wire = connected(member)
        first = member.say()
        refuse(member, wire.refs[0])
        await asyncio.sleep(0.1)
        cut(member)
        wire = connected(member)
        assert wire.refs == []

        assert member.say() is first
        assert member.say() is not first
        assert len(wire.refs) == 2

    asyncio.run(play())


def test_member_who_comes_back_gives_the_last_position_shown():
    async def play() -> None:
        member = made()
        connected(member)
        tell(member, type="message", seq=5, message_id=1, position="5-3f9c2a71d0")
        tell(member, type="message", seq=4, message_id=9, position="4-00000000aa")
        assert (member.since, member.position) == ("5-3f9c2a71d0", 5)

        tell(member, type="resync", seq=3, position="3-00000000bb", reason="unknown_position")
        assert (member.since, member.position) == ("3-00000000bb", 3)
        tell(member, type="message", seq=4, message_id=2)
        assert (member.since, member.position) == (4, 4)  # it comes from a worker of an older version
        cut(member)
        connected(member)
        assert member.receiver.connections[-1].since == 4

    asyncio.run(play())


def test_page_of_the_guide_takes_an_error_for_an_answer_to_what_it_said_first():
    async def play() -> None:
        member = Member(Place(7, 1), port=lambda: 0, rng=random.Random(1), dialect=Guide, resumes=False)
        member._socket = GuidesWire()  # type: ignore[assignment]
        member.opened()
        first, second = member.say(), member.say()
        tell(member, type="error", code="busy", retryable=True, retry_after_ms=40)
        tell(member, type="message", seq=5, message_id=9, content=second.content)
        assert (first.is_refused, first.attempts[0].detail) == (True, "busy")
        assert [(ack.message_id, ack.seq) for ack in second.acks] == [(9, 5)]
        assert member.unanswered == 0

        tell(member, type="message", seq=6, message_id=10, content=first.content)  # it was another message
        third = member.say()
        tell(member, type="error", code="busy")
        assert (first.is_refused, [ack.seq for ack in first.acks]) == (False, [6])
        assert (third.is_refused, member.unanswered) == (True, 0)

        fourth, fifth = member.say(), member.say()
        tell(member, type="error", code="busy")
        tell(member, type="message", seq=7, message_id=11, content=fourth.content)
        assert (fourth.is_refused, fifth.is_refused, member.unanswered) == (False, True, 0)

    asyncio.run(play())


class GuidesWire:
    """A socket that knows nothing by a ref, like the guide's."""

    def say(self, payload: bytes) -> None:
        assert set(json.loads(payload)) == {"message"}
