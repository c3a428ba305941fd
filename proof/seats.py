"""Seats of members when a row is played over native sockets: pages, and guide sockets beside them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import TYPE_CHECKING, Literal

from proof.member import How, Place

if TYPE_CHECKING:
    from proof.stage import Stage

#: The sockets that a row is played over.
Over = Literal["guide", "native"]
BOTH: tuple[Over, ...] = ("guide", "native")
#: Conversations that a page shows.
TWENTY = 20
#: The ways to listen in which members share a native socket.
NATIVE = {"each", "mine"}
#: How the members of each conversation listen, in turn.
HOW: tuple[How, ...] = ("v1", "each", "guide", "mine", "each", "each", "v1", "each", "mine", "each")


def seat_pages(stage: Stage, tables: list[list[Place]], *, together: int, topics: int) -> list[list[Place]]:
    """The same seats, most of them with pages.

    A user with a page has a seat in `together` conversations of the row, and in quiet ones until there are
    `topics`. The users whom the fixture had put on those seats have none then.
    """
    blocks = [tables[start : start + together] for start in range(0, len(tables), together)]
    regulars = [_with_pages(block[0]) for block in blocks]
    quiet = _quiet(stage, blocks, max(map(len, regulars)), topics)
    moves: list[tuple[int, int, int]] = []
    seated = []
    for block, pages in zip(blocks, regulars, strict=True):
        beside = [next(quiet) for _ in range(max(0, topics - len(block)))]
        for table in beside:
            moves += [(s.conversation, s.user, page.user) for s, page in zip(table, pages, strict=False)]
        conversations = tuple(table[0].conversation for table in beside)
        for table in block:
            moves += [
                (seat.conversation, seat.user, page.user)
                for seat, page in zip(_with_pages(table), pages, strict=True)
                if seat.user != page.user
            ]
            users = iter(pages)
            seated.append(
                [
                    next(users)._replace(conversation=seat.conversation, how=how, beside=conversations)
                    if how in NATIVE
                    else seat._replace(how=how)
                    for seat, how in zip(table, cycle(HOW), strict=False)
                ]
            )
    if moves:
        _move(stage, moves)
    return seated


def _with_pages(table: list[Place]) -> list[Place]:
    return [place for place, how in zip(table, cycle(HOW), strict=False) if how in NATIVE]


def _quiet(stage: Stage, blocks: list[list[list[Place]]], members: int, topics: int) -> Iterator[list[Place]]:
    missing = sum(max(0, topics - len(block)) for block in blocks)
    return iter(stage.strangers(conversations=missing, members=members) if missing else [])


def _move(stage: Stage, moves: list[tuple[int, int, int]]) -> None:
    """Give seats to other users; each move is (conversation, old user, new user)."""
    stage.sql(
        "UPDATE chat_participant AS seat SET user_id = move.new "
        "FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS move (conversation, old, new) "
        "WHERE seat.conversation_id = move.conversation AND seat.user_id = move.old",
        *([*column] for column in zip(*moves, strict=True)),
    )
