"""A page gives each of its members their own frames, and each leaves evidence like a socket of its own."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from proof.guide import named
from proof.history import Send
from proof.member import Member, Place
from proof.pages import Page, Subscriber
from proof.seats import HOW, NATIVE, TWENTY, seat_pages
from tests.proof.histories import row

pytestmark = pytest.mark.stack("small")


class Wire:
    """A socket that only notes the frames it is given."""

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []

    def say(self, payload: bytes) -> None:
        self.said.append(json.loads(payload))

    def of(self, *types: str) -> list[dict[str, Any]]:
        return [frame for frame in self.said if frame["type"] in types]


class Play:
    """A page with members in conversations 7 and 8, without a network."""

    def __init__(self, how: str = "each", **options: Any) -> None:
        place = Place(7, 1, "secret", how)  # type: ignore[arg-type]  # one of those
        self.page = Page(place, port=lambda: 0, rng=random.Random(1), **options)
        self.one, self.other = (self.member(conversation) for conversation in (7, 8))
        self.wire = Wire()

    def member(self, conversation: int, name: str = "") -> Subscriber:
        member = Subscriber(self.page, Place(conversation, 1), rng=random.Random(conversation), name=name)
        self.page.expect(member)
        return member

    def connect(self) -> Wire:
        self.wire = Wire()
        # The test connects it by hand.
        self.page._task = asyncio.get_running_loop().create_task(asyncio.sleep(60))
        self.page._socket = self.wire  # type: ignore[assignment]  # as much of one as is used here
        self.page.opened()
        self.tell(type="hello", ref=None)
        return self.wire

    def tell(self, **frame: Any) -> None:
        self.page.heard(json.dumps(frame).encode())

    def place(self, conversation: int, seq: int = 0, *, id: str | None = None, **fields: Any) -> None:  # noqa: A002
        topic = f"conversation.{conversation}"
        told = {"type": "subscribed", "ref": f"{id or topic}/subscribe", "id": id or topic, "topic": topic}
        self.tell(**told, seq=seq, position=f"{seq}-aa", **fields)

    def message(self, conversation: int, seq: int, **fields: Any) -> None:
        told = {"topic": f"conversation.{conversation}", "type": "message", "seq": seq}
        self.tell(**told, position=f"{seq}-aa", message_id=100 + seq, content="x", **fields)

    def cut(self, code: int = 1006) -> None:
        self.page.ended(code, status=101, retry_after=0)


def played(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run the test inside an event loop."""

    def run() -> None:
        asyncio.run(test())

    run.__name__ = test.__name__
    return run


def seqs(member: Member) -> list[list[int]]:
    return [[heard.seq for heard in each.frames] for each in member.receiver.connections]


@pytest.mark.parametrize(
    ("first", "path", "said"), [(True, "/ws/", ["auth"]), (False, "/ws/?token=secret", [])]
)
def test_token_is_in_the_first_frame_or_in_the_address(first, path, said):
    async def play() -> None:
        page = Play(says_token_first=first)
        page.page._socket = page.wire  # type: ignore[assignment]
        page.page.opened()
        assert page.page.path() == path
        assert [frame["type"] for frame in page.wire.said] == said  # nothing more is sent before the hello

    asyncio.run(play())


@played
async def test_each_member_is_told_what_is_theirs():
    page = Play()
    assert [frame["topic"] for frame in page.connect().of("subscribe")] == [
        "conversation.7",
        "conversation.8",
    ]
    page.place(7)
    assert (page.one.is_here, page.page.is_here) == (True, False)
    page.place(8, 5)
    page.message(7, 1)
    page.message(8, 6)
    assert page.page.is_here
    assert (seqs(page.one), seqs(page.other)) == ([[1]], [[6]])


@played
async def test_second_subscription_to_a_topic_has_a_name_and_is_told_by_it():
    page = Play()
    third = page.member(7, "ear")
    assert page.connect().of("subscribe")[2]["id"] == "ear"
    for frame in page.wire.of("subscribe"):
        page.place(int(frame["topic"][13:]), id=frame.get("id"))
    page.message(7, 1)
    page.message(7, 1, id="ear")
    assert (seqs(page.one), seqs(third)) == ([[1]], [[1]])


@played
async def test_ack_and_error_reach_the_socket_that_asked():
    page = Play()
    page.connect()
    page.place(7)
    page.place(8)
    sends = page.one.say("a"), page.other.say("b")
    said = page.wire.of("send")
    assert [frame["conversation_id"] for frame in said] == [7, 8]
    page.tell(type="ack", ref=said[1]["ref"], message_id=9, seq=1)
    page.tell(type="error", ref=said[0]["ref"], code="frozen", id=None)
    assert [ack.message_id for ack in sends[1].acks] == [9]
    assert sends[0].is_refused


@played
async def test_page_that_comes_back_goes_on_in_each_conversation():
    page = Play()
    page.connect()
    page.place(7)
    page.place(8)
    page.message(7, 1)
    page.cut()
    again = page.connect().of("subscribe")
    assert [frame["since"] for frame in again] == ["1-aa", "0-aa"]
    page.place(7, 1, resumed=True)
    page.tell(
        type="resync", id="conversation.8", topic="conversation.8", reason="too_old", seq=4, position="4-b"
    )
    assert [each.resync for each in page.other.receiver.connections] == ["", "too_old"]
    assert page.one.receiver.connections[-1].since == 1
    assert page.page.is_here


@played
async def test_lost_right_ends_one_subscription_for_good():
    page = Play()
    page.connect()
    page.place(7)
    page.place(8)
    page.tell(
        type="unsubscribed", ref=None, id="conversation.7", topic="conversation.7", code="not_a_participant"
    )
    [connection] = page.one.receiver.connections
    assert (connection.close_code, page.one.is_finished, page.other.is_here) == (4404, True, True)
    page.message(7, 3)  # judged: it came after the end
    assert seqs(page.one) == [[3]]
    page.cut()
    assert [frame["topic"] for frame in page.connect().of("subscribe")] == ["conversation.8"]


@played
async def test_refused_member_is_finished_and_one_refused_for_now_is_not():
    page = Play()
    page.connect()
    for name, code, retryable in (
        ("conversation.7", "not_a_participant", False),
        ("conversation.8", "busy", True),
    ):
        told = {"type": "error", "ref": f"{name}/subscribe", "id": name, "code": code, "retryable": retryable}
        page.tell(**told, retry_after_ms=1 if retryable else None)
    assert (page.one.is_finished, page.other.is_finished) == (True, False)
    await asyncio.sleep(0.05)
    assert [frame["topic"] for frame in page.wire.of("subscribe")][2:] == ["conversation.8"]
    assert [each.receiver.connections[0].close_code for each in (page.one, page.other)] == [4404, 1013]


@played
async def test_member_who_unsubscribes_and_comes_again_goes_on():
    page = Play()
    page.connect()
    page.place(7, 3)
    page.one.unsubscribe()
    page.one.come()  # asked for before the answer
    assert len(page.wire.of("subscribe")) == 2
    page.tell(type="unsubscribed", ref="conversation.7/unsubscribe", id="conversation.7", code=None)
    assert page.wire.of("subscribe")[2]["since"] == "3-aa"
    assert page.one.receiver.connections[0].close_code is None


@pytest.mark.parametrize("code", [4401, 1012])
def test_end_of_the_socket_is_the_end_of_all(code):
    async def play() -> None:
        page = Play()
        page.connect()
        page.place(7)
        page.place(8)
        send = page.one.say("a")
        page.cut(code)
        assert [each.receiver.connections[0].close_code for each in (page.one, page.other)] == [code] * 2
        assert send.attempts[0].outcome == "closed"

    asyncio.run(play())


def mine(page: Play, **positions: str) -> None:
    told = {f"conversation.{name[1:]}": position for name, position in positions.items()}
    page.tell(type="subscribed", ref="mine", id="mine", topic="mine", seq=1, position="1-m", positions=told)


@played
async def test_mine_is_one_subscription_and_goes_on_from_all_places():
    page = Play("mine")
    assert page.connect().of("subscribe") == [{"type": "subscribe", "topic": "mine", "ref": "mine"}]
    mine(page, c7="0-aa", c8="4-aa")
    page.message(7, 1)
    assert page.page.is_here
    page.cut()
    [again] = page.connect().of("subscribe")
    assert again["since"] == {"mine": "1-m", "conversation.7": "1-aa", "conversation.8": "4-aa"}
    page.message(7, 2)
    page.tell(type="resync", id="mine", topic="conversation.8", reason="too_old", seq=9, position="9-b")
    mine(page, c7="2-aa", c8="9-b")
    assert seqs(page.one) == [[1], [2]]
    assert [each.resync for each in page.other.receiver.connections] == ["", "too_old"]


@played
async def test_mine_follows_its_user_out_and_in():
    page = Play("mine")
    page.connect()
    mine(page, c7="0-aa", c8="0-aa")
    page.tell(topic="conversation.7", type="member_removed", user_id=2, seq=1, position="1-aa")
    assert page.one.is_here
    page.tell(topic="conversation.7", type="member_removed", user_id=1, seq=2, position="2-aa")
    assert (page.one.is_finished, page.one.receiver.connections[0].close_code) == (True, 4404)
    page.tell(
        topic="mine", type="conversation_joined", conversation_id=7, conversation_seq=5, seq=2, position="2-m"
    )
    page.message(7, 6)
    assert seqs(page.one) == [[1, 2], [6]]
    assert page.one.receiver.connections[1].subscribed_seq == 5


@played
async def test_mine_says_what_was_left_and_joined_meanwhile():
    page = Play("mine")
    page.connect()
    mine(page, c7="0-aa", c8="0-aa")
    page.cut()
    page.connect()
    mine(page, c8="0-aa")
    assert (page.one.is_finished, page.one.receiver.connections[1].close_code) == (True, 4404)
    page.cut()
    assert set(page.connect().of("subscribe")[0]["since"]) == {"mine", "conversation.8"}
    mine(page, c7="9-aa", c8="0-aa")
    assert page.one.is_here
    assert (page.one.receiver.connections[2].since, page.one.receiver.connections[2].subscribed_seq) == (
        None,
        9,
    )


# ── seats ────────────────────────────────────────────────────────────────────────────────────────────────


class People:
    """Gives people as the fixture does, and notes whose seats are moved."""

    def __init__(self) -> None:
        self.moves: set[tuple[int, int, int]] = set()
        self._count = 0

    def strangers(self, *, conversations: int, members: int) -> list[list[Place]]:
        start = self._count
        self._count += conversations
        return [
            [Place(number, number * 1000 + index, f"{number}.{index}") for index in range(members)]
            for number in range(start, self._count)
        ]

    def sql(self, _statement: str, *columns: list[int]) -> None:
        self.moves |= set(zip(*columns, strict=True))


@pytest.mark.parametrize(("conversations", "together"), [(20, TWENTY), (3, TWENTY), (2, 1)])
def test_every_page_has_twenty_conversations_and_the_others_one(conversations, together):
    people = People()
    tables = people.strangers(conversations=conversations, members=10)
    seated = seat_pages(people, tables, together=together, topics=TWENTY)
    assert [[place.how for place in table] for table in seated] == [[*HOW]] * conversations

    seats: dict[int, set[int]] = {}
    for place in (place for table in seated for place in table):
        seats.setdefault(place.user, set()).update({place.conversation, *place.beside})
        assert place.how in NATIVE or not place.beside
    by_how = {place.user: place.how for table in seated for place in table}
    assert {len(seats[user]) for user, how in by_how.items() if how in NATIVE} == {TWENTY}
    assert {len(seats[user]) for user, how in by_how.items() if how not in NATIVE} == {1}
    # A user who sits where the fixture had put somebody else was given that seat.
    given = {(conversation, user) for conversation, _, user in people.moves}
    taken = {(c, user) for user, where in seats.items() for c in where if user // 1000 != c}
    assert given == taken


def test_rows_that_pages_of_the_guide_said_have_the_names_of_their_sends():
    sends = [Send(7, 1, "name", "said 1", 0.0), Send(7, 2, "other", "said 1", 0.0)]
    unnamed = row(1)._replace(client_id="")
    assert [each.client_id for each in named([unnamed, row(2)], sends)] == ["name", "id-2"]
