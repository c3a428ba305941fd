"""Moves of cursors are joined, limited in rate and number, and never lost."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, connection, connections
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from chat import cursors, limits, services
from chat.cursors import MOVES, CursorMoves
from chat.models import Conversation
from chat.selectors import Share
from chat.services import Cursor
from realtime.errors import OverloadedError, RateLimitedError
from realtime.http.metrics import REQUESTS_REFUSED
from realtime.testing import eventually
from tests.chat.speaking import aside, chat_path, say, share_of
from tests.factories import make_conversation


@pytest.fixture
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written because time has passed: only because a test asks, or a socket ends."""
    monkeypatch.setattr(cursors, "PERIOD_SECONDS", 3_600)


class Writes(list[dict[Share, Cursor]]):
    """The moves that were written together, one entry for each transaction."""

    def __init__(self) -> None:
        self.fails: Callable[[dict[Share, Cursor]], Exception | None] = lambda _moves: None


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Writes:
    seen, move = Writes(), services.move_cursors

    def watched(moves: dict[Share, Cursor]) -> Any:
        seen.append(moves)
        if (failure := seen.fails(moves)) is not None:
            raise failure
        return move(moves)

    monkeypatch.setattr(services, "move_cursors", watched)
    return seen


@pytest.fixture
def moves() -> CursorMoves:
    """Moves of this test alone, which nothing writes by itself."""
    return CursorMoves(sleep=lambda _seconds: None)


@pytest.fixture
def hour(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock of the limit, which `hour.passes()` moves by an hour."""
    clock = SimpleNamespace(now=0.0)
    clock.passes = lambda: setattr(clock, "now", clock.now + 3_600)
    monkeypatch.setattr(limits._cursors, "_clock", lambda: clock.now)
    return clock


def note(moves: CursorMoves, user: User, conversation: Conversation, read: int) -> None:
    """Do what `CursorMoves.note` does, without a loop that writes the move."""
    moves._join((user.pk, conversation.pk), Cursor(read=read), is_kept=True)


def read_by(user: User, conversation: Conversation) -> int:
    return share_of(user, conversation).read_seq


# ── joined ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_thousand_moves_of_a_socket_are_one_write_and_one_receipt(
    ana, bruno, conversation, connect, unlimited, no_hurry, writes, published
):
    for _ in range(3):
        await aside(say)(conversation, ana)
    async with connect(bruno, chat_path(conversation, "?v=1")) as socket:
        await socket.receive_until("subscribed")
        for number in range(1_000):
            await socket.send({"type": ("read", "delivered")[number % 2], "up_to_seq": number % 4})
        await socket.send({"type": "ping"})
        await socket.receive_until("pong")
        assert (MOVES.waiting, writes) == (1, [])

    assert writes == [{(bruno.pk, conversation.pk): Cursor(delivered=3, read=2)}]
    assert [event["read_seq"] for event in published.of_type("receipt")] == [2]
    assert await aside(read_by)(bruno, conversation) == 2


async def test_move_of_a_socket_is_in_the_answer_of_rest(
    ana, bruno, conversation, connect, unlimited, no_hurry, writes, published, api
):
    for _ in range(9):
        await aside(say)(conversation, ana)
    client, url = await aside(api)(bruno), f"/api/conversations/{conversation.pk}/read/"
    async with connect(bruno, chat_path(conversation, "?v=1")) as socket:
        await socket.send({"type": "read", "up_to_seq": 7})
        await eventually(lambda: MOVES.waiting)

        answer = (await aside(client.post)(url, {"up_to_seq": 5})).json()

        assert (answer["read_seq"], answer["unread_count"]) == (7, 2)
        assert await aside(read_by)(bruno, conversation) == 7
    assert len(writes) == len(published.of_type("receipt")) == 1


def test_requests_that_come_while_one_writes_share_the_next_write(
    transactional_db, ana, bruno, dora, group, moves, writes
):
    for _ in range(20):
        say(group, ana)

    def move(user: User, seq: int) -> int:
        try:
            return moves.move((user.pk, group.pk), Cursor(read=seq)).read_seq
        finally:
            connections.close_all()

    with ThreadPoolExecutor(40) as threads:
        with moves._writing:
            asked = [threads.submit(move, user, seq) for user in (bruno, dora) for seq in range(1, 21)]
            while moves.waiting < 2 or cursor_of(moves, dora, group).read < 20:
                pass
        answers = {asking.result(30) for asking in asked}

    assert answers == {20}
    assert len(writes) == 1


def cursor_of(moves: CursorMoves, user: User, conversation: Conversation) -> Cursor:
    move = moves._waiting.get(user.pk, {}).get(conversation.pk)
    return Cursor() if move is None else move.cursor


def test_one_after_the_other_waits_for_the_rest_of_the_period(db, ana, bruno, conversation):
    slept: list[float] = []
    moves = CursorMoves(clock=lambda: 100.0, sleep=slept.append)
    say(conversation, ana)

    for _ in range(3):
        moves.move((bruno.pk, conversation.pk), Cursor(read=1))
    moves.move((ana.pk, conversation.pk), Cursor(read=1))

    assert slept == [pytest.approx(cursors.PERIOD_SECONDS)] * 2


def test_number_of_statements_does_not_grow_with_moves(db, ana, bruno, dora, clara):
    """The members are in several conversations, read a part, and have it in their inboxes."""

    def statements(users: list[User]) -> int:
        places = [make_conversation(ana, user, title="many") for user in users]
        for place in places:
            say(place, ana)
            say(place, ana)
        services.note_unread([place.pk for place in places])
        shares = {(user.pk, place.pk): Cursor(read=1) for user, place in zip(users, places, strict=True)}
        with CaptureQueriesContext(connection) as queries:
            moved = services.move_cursors(shares)
        assert all(getattr(membership, "read_seq", None) == 1 for membership in moved.values())
        return len(queries)

    assert statements([bruno]) == statements([bruno, dora, clara])


# ── paced ────────────────────────────────────────────────────────────────────────────────────────────────


def test_too_many_over_rest_are_refused_with_a_time(db, ana, bruno, conversation, api, relais):
    say(conversation, ana)
    relais(limit_cursors="1/h:2")
    before = REQUESTS_REFUSED.series()[("cursors",)][0]
    client, url = api(bruno), f"/api/conversations/{conversation.pk}"
    answers = [client.post(f"{url}/{kind}/", {"up_to_seq": 1}) for kind in ("read", "delivered", "read")]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json()["code"] == "rate_limited"
    assert 0 < int(answers[2]["Retry-After"]) <= 3_600
    assert REQUESTS_REFUSED.series()[("cursors",)][0] == before + 1
    assert api(ana).post(f"{url}/read/", {"up_to_seq": 1}).status_code == 200


def test_moves_of_a_socket_wait_for_their_turn_and_the_last_is_not_lost(
    db, ana, bruno, conversation, moves, relais, hour
):
    for _ in range(9):
        say(conversation, ana)
    relais(limit_cursors="1/h:1")
    for seq in (1, 4, 7):
        note(moves, bruno, conversation, seq)
        pause = moves.write()
    assert (read_by(bruno, conversation), moves.waiting) == (1, 1)
    assert 0 < pause <= 3_600

    hour.passes()
    moves.write()

    assert (read_by(bruno, conversation), moves.waiting) == (7, 0)


async def test_page_that_reads_too_fast_hears_no_error(
    ana, bruno, conversation, connect, relais, monkeypatch, hour
):
    monkeypatch.setattr(cursors, "PERIOD_SECONDS", 0.001)
    for _ in range(9):
        await aside(say)(conversation, ana)
    relais(limit_cursors="1/h:1", limit_frames="off")
    async with connect(bruno, chat_path(conversation, "?v=1")) as socket:
        await socket.receive_until("subscribed")
        for seq in range(1, 10):
            await socket.send({"type": "read", "up_to_seq": seq})
            await eventually(lambda: aside(read_by)(bruno, conversation))
        await socket.send({"type": "ping"})
        assert {(await socket.receive())["type"] for _ in range(2)} == {"receipt", "pong"}
        assert await aside(read_by)(bruno, conversation) < 9
        assert MOVES.waiting == 1


def test_sockets_and_rest_share_the_limit(db, ana, bruno, conversation, moves, relais, hour):
    for _ in range(3):
        say(conversation, ana)
    relais(limit_cursors="1/h:1")
    note(moves, bruno, conversation, 1)
    moves.write()

    with pytest.raises(RateLimitedError):
        moves.move((bruno.pk, conversation.pk), Cursor(read=2))
    assert read_by(bruno, conversation) == 1


# ── bounded, and kept ────────────────────────────────────────────────────────────────────────────────────


def test_waiting_moves_are_bounded_for_each_user_and_in_all(db, moves, monkeypatch):
    monkeypatch.setattr(cursors, "MAX_WAITING_OF_USER", 3)
    monkeypatch.setattr(cursors, "MAX_WAITING", 5)

    def ask(user_id: int, conversation_id: int) -> None:
        moves._join((user_id, conversation_id), Cursor(read=1), is_kept=True)

    for conversation_id in range(3):
        ask(1, conversation_id)
    with pytest.raises(RateLimitedError) as refused:
        ask(1, 7)
    assert refused.value.retry_after_ms
    ask(2, 1)
    ask(2, 2)
    with pytest.raises(OverloadedError):
        ask(3, 1)
    ask(1, 0)  # moves that wait already may be joined

    assert moves.waiting == 5


def test_moves_are_kept_while_the_database_is_away(db, ana, bruno, conversation, moves, writes):
    for _ in range(9):
        say(conversation, ana)
    writes.fails = lambda _moves: OperationalError("the server closed the connection unexpectedly")
    note(moves, bruno, conversation, 3)
    for seq in (5, 2):
        with pytest.raises(OperationalError):
            moves.write()
        note(moves, bruno, conversation, seq)
    with pytest.raises(OperationalError):
        moves.move((ana.pk, conversation.pk), Cursor(read=9))
    assert moves.waiting == 1, "who is answered 503 asks again"

    writes.fails = lambda _moves: None
    moves.write()

    assert (read_by(bruno, conversation), read_by(ana, conversation), moves.waiting) == (5, 0, 0)


async def test_moves_of_a_socket_are_tried_again_by_themselves(
    ana, bruno, conversation, connect, monkeypatch, writes
):
    monkeypatch.setattr(cursors, "RETRY_SECONDS", 0.01)
    await aside(say)(conversation, ana)
    writes.fails = lambda _moves: OperationalError("connection refused") if len(writes) < 3 else None
    async with connect(bruno, chat_path(conversation)) as socket:
        await socket.send({"type": "read", "up_to_seq": 1})

        await eventually(lambda: aside(read_by)(bruno, conversation))

    assert len(writes) == 3


def test_move_that_cannot_be_written_holds_up_no_other(db, ana, bruno, dora, group, moves, writes, caplog):
    say(group, ana)
    cursed = (dora.pk, group.pk)
    writes.fails = lambda moves: ValueError("cursed") if cursed in moves else None
    for user in (ana, dora, bruno):
        note(moves, user, group, 1)

    moves.write()

    assert [read_by(user, group) for user in (ana, dora, bruno)] == [1, 0, 1]
    assert moves.waiting == 0
    assert [record.getMessage() for record in caplog.records] == ["A cursor could not be moved"]


async def test_waiting_moves_are_written_at_the_end_of_the_process(
    ana, bruno, conversation, hub, relais, no_hurry, hour
):
    """All moves are written, whoever's turn it is, and although the socket has gone."""
    for _ in range(2):
        await aside(say)(conversation, ana)
    relais(limit_cursors="1/h:1")
    limits.allow_cursor(bruno.pk)
    MOVES.note((bruno.pk, conversation.pk), Cursor(read=2))

    await hub.stop()

    assert await aside(read_by)(bruno, conversation) == 2


def test_stranger_moves_nothing_and_is_told_so(db, ana, clara, conversation, api, moves):
    say(conversation, ana)
    answer = api(clara).post(f"/api/conversations/{conversation.pk}/read/", {"up_to_seq": 1})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_a_participant")

    note(moves, clara, conversation, 1)
    moves.write()

    assert moves.waiting == 0
