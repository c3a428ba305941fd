"""Messages that Redis publishes are lost, doubled and swapped on purpose; its other replies are untouched."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proof.resp import Mistreats, end_of_reply

pytestmark = pytest.mark.stack("small")


def published(number: int) -> bytes:
    body = b"bell %d" % number
    return b"*3\r\n$7\r\nmessage\r\n$4\r\nasgi\r\n$%d\r\n%b\r\n" % (len(body), body)


OTHERS = [b"+PONG\r\n", b":1\r\n", b"$-1\r\n", b"*3\r\n$9\r\nsubscribe\r\n$4\r\nasgi\r\n:1\r\n"]


def passed(mistreats: Mistreats, replies: list[bytes], *, cut: int = 7) -> bytes:
    """The replies that come through when they arrive in pieces."""
    stream, told = mistreats.filter(), b"".join(replies)
    return b"".join(stream(told[start : start + cut]) for start in range(0, len(told), cut))


@given(st.lists(st.one_of(st.sampled_from(OTHERS), st.integers(0, 10**6).map(published))), st.integers(1, 50))
def test_nothing_is_touched_unless_it_is_asked_to(replies, cut):
    assert passed(Mistreats(random.Random(1)), replies, cut=cut) == b"".join(replies)


def test_only_published_messages_are_lost():
    replies = [published(1), *OTHERS, published(2)]

    assert passed(Mistreats(random.Random(1), loses=1.0), replies) == b"".join(OTHERS)


def test_messages_come_twice():
    assert passed(Mistreats(random.Random(1), doubles=1.0), [published(1)]) == published(1) * 2


def test_neighbours_change_places():
    mistreats = Mistreats(random.Random(1), swaps=1.0)

    assert mistreats.pass_on([published(1), published(2)]) == [published(2), published(1)]


def test_reply_that_has_not_all_arrived_has_no_end():
    reply = published(1)

    assert [end_of_reply(reply[:size], 0) for size in range(len(reply))] == [None] * len(reply)
    assert end_of_reply(reply, 0) == len(reply)
