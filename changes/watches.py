"""A watch: what one client wants to know of one collection, with the rows that there are now.

    looked = look(user_id, Question("orders", {"filter": {"status": {"_eq": "open"}}}), page=Page(100))
    looked.watch       # the view and the events: a value, equal for all who see the same
    looked.rows        # what it shows at `looked.place`, a position of the collection's topic
    Watching(looked.watch, frames)   # the rendering that tells the changes after it, in a dialect's frames

The right to look, the rows and the position are read at one moment: no change is missed, and none told twice.
A change that was made by then but is not in the log yet, because the reader is on its way, is in the rows:
`come_in` waits until it is in the log, and says what came with it.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple, Protocol

import msgspec

from accounts.models import User
from changes import following, noted, reading
from changes.errors import UnknownCollectionError
from changes.events import NO_ROW, ChangesMissed, RightsChanged, RowChanged
from changes.filters import Page, QueryError, Readable, Relation, Row, Seen, Sight, Table, View, view
from changes.filters.errors import Problem
from changes.filters.values import Value
from changes.opened import Opened, everything_opened, opened
from changes.permitted import permitted, user_values
from changes.registry import topic_of
from changes.rights import Action
from changes.user_values import variables
from realtime import Delivery, Frame, Payload, Position, UnavailableError, log, one_moment, positions

EVERY_EVENT = frozenset(Sight)

#: Seconds until what waits must be in the log: 10,000 rows of one statement take one.
COME_IN_SECONDS = 10.0
#: Seconds between two looks whether it is.
LOOK_AGAIN_SECONDS = 0.01
#: Events that are read at a time.
PAGE = 500


@dataclass(frozen=True, slots=True)
class Question:
    """What a client asks to watch."""

    collection: str
    #: `fields`, `filter`, `search` and `sort`; others are for whoever asks.
    query: Mapping[str, Any] = field(default_factory=dict)
    events: frozenset[Sight] = EVERY_EVENT
    #: The key of the one row that is meant; None for all.
    key: Any = None


@dataclass(frozen=True)
class Watch:
    """A view of a collection, and which of its events are told; equal for all who see the same."""

    view: View
    events: frozenset[Sight]

    @property
    def collection(self) -> str:
        """The name of the collection."""
        return self.view.table.name

    @property
    def topic(self) -> str:
        """The topic of the collection."""
        return topic_of(self.collection)


class Counts(NamedTuple):
    """How many rows there are, whatever the page."""

    #: That may be read, and of these how many match.
    total: int
    matching: int


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look at a collection found, at one moment."""

    watch: Watch
    rows: list[dict[str, Value]]
    place: Position
    #: The numbers of changes that are in the rows, and not in the log before `place`.
    waiting: frozenset[int]
    counts: Counts | None = None


def look(
    user_id: int | None, question: Question, *, page: Page | None = None, counted: bool = False
) -> Looked:
    """Check what a user may see of a question's collection, and read a page of it; None reads no rows.

    Raises UnknownCollectionError and QueryError. Uses the database.
    """
    opened(question.collection)  # before the moment: it may read the shapes of tables
    with one_moment():
        user = person(user_id)
        watch = watch_of(user, question)
        _refuse_unfollowed(watch.view)
        now = dt.datetime.now(dt.UTC)
        found = reading.rows_of(watch.view, page, now) if page is not None else []
        return Looked(
            watch,
            reading.shown(watch.view, found, now),
            log.ends([watch.topic])[watch.topic],
            noted.waiting(question.collection),
            counts_of(watch.view, now) if counted else None,
        )


def person(user_id: int | None) -> User | None:
    """The user as the database has them now; None for somebody who is not signed in, or no longer there."""
    return None if user_id is None else User.objects.filter(pk=user_id).first()


def watch_of(user: User | None, question: Question) -> Watch:
    """The watch of a user who asks; raises UnknownCollectionError and QueryError. May use the database."""
    seen = view_of(user, question.collection, question.query, key=question.key)
    return Watch(seen, question.events)


def view_of(user: User | None, name: str, query: Mapping[str, Any], *, key: Any = None) -> View:
    """What a user sees of a collection by a query, or of the one row with a key. May use the database."""
    asked = dict(query)
    if key is not None:
        own = {_only_key(opened(name)): {"_eq": key}}
        asked["filter"] = {"_and": [own, asked["filter"]]} if asked.get("filter") else own
    return view(
        opened(name).table,
        readable_to(user, name),
        asked,
        user_values=user_values(user),
        variables=variables(),
        related=lambda relation: _related(user, relation),
    )


def readable_to(user: User | None, name: str) -> Readable:
    """What a user may read of a collection; raises UnknownCollectionError where that is nothing."""
    readable = permitted(Action.READ, opened(name), user)
    if not readable.policies:
        raise UnknownCollectionError
    return readable


def _related(user: User | None, relation: Relation) -> Readable:
    return permitted(Action.READ, everything_opened()[relation.table.name], user)


def _only_key(collection: Opened) -> str:
    if len(collection.table.key) > 1:
        raise QueryError("A row of this collection has no single key.", Problem.VALUE)
    return collection.table.key[0]


def _refuse_unfollowed(seen: View) -> None:
    """Changes are told with the related rows that went along, and with no others."""
    known = following.followed(opened(seen.table.name)) if seen.needs else []
    for relation, further in seen.needs.items():
        if relation not in known or further:
            raise QueryError(
                f"Changes are told without the rows that {relation.name} leads to; they can be read.",
                Problem.OPERATOR,
            )


def counts_of(seen: View, now: dt.datetime) -> Counts:
    """How many rows a user may read, and how many of them a view has."""
    table = seen.table
    return Counts(reading.count(table, seen.readable.rows, now), reading.count(table, seen.rows, now))


# --- what came meanwhile ----------------------------------------------------------------------------


class Told(NamedTuple):
    """A change as a watcher sees it, and its place in the topic."""

    seen: Seen
    delivery: Delivery


class LookAgainError(Exception):
    """Rights changed, or changes were missed, since the look: what it found does not hold."""


async def come_in(
    looked: Looked, user_id: int | None, read: Callable[..., Awaitable[list[Delivery]]]
) -> tuple[list[Sequence[Delivery]], Position]:
    """Wait until what a look saw wait is in the log; what else came by then, by write, and the place after.

    `read` awaits a function in a thread. Raises LookAgainError, and UnavailableError if nobody reads.
    """
    place, left = looked.place, set(looked.waiting)
    others: list[Delivery] = []
    until = asyncio.get_running_loop().time() + COME_IN_SECONDS
    while left:
        page = await read(_following, looked.watch.topic, place.seq)
        for delivery in page:
            event = _EVENTS.decode(delivery.body)
            if isinstance(event, RightsChanged):
                if event.users is None or user_id in event.users:
                    raise LookAgainError
            elif event.note in left:
                left.discard(event.note)
            elif isinstance(event, ChangesMissed):
                raise LookAgainError
            else:
                others.append(delivery)
            place = Position(delivery.seq or 0, positions.mark_in(delivery.body))
        if left and not page:
            if asyncio.get_running_loop().time() > until:
                raise UnavailableError("Changes are not read at the moment; try again later.")
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
    return [list(write) for _, write in groupby(others, key=lambda delivery: delivery.write)], place


def _following(topic: str, seq: int) -> list[Delivery]:
    return [Delivery(*logged) for logged in log.replay(topic, after=seq, limit=PAGE)]


_EVENTS = msgspec.json.Decoder(RowChanged | ChangesMissed | RightsChanged)


# --- what is told -----------------------------------------------------------------------------------


class Frames(Protocol):
    """A frozen value that writes what watchers are told of one write in the frames of its dialect."""

    def __call__(self, watch: Watch, told: Sequence[Told]) -> Iterable[Payload]: ...

    def __hash__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Watching:
    """The rendering of a collection's topic for all who watch the same, in the frames of one dialect."""

    watch: Watch
    frames: Frames

    def render(self, write: Sequence[Delivery]) -> Iterable[Frame]:
        return [Frame(payload) for payload in self.payloads(write)]

    def payloads(self, write: Sequence[Delivery]) -> list[Payload]:
        """The frames for the changes of one write."""
        now = dt.datetime.now(dt.UTC)
        told = [each for delivery in write if (each := self._seen(delivery, now))]
        return list(self.frames(self.watch, told)) if told else []

    def _seen(self, delivery: Delivery, now: dt.datetime) -> Told | None:
        if delivery.type != "row_changed":
            return None
        change = change_of(self.watch.view.table, delivery.body)
        seen = self.watch.view.sees(change.old, change.new, now)
        return Told(seen, delivery) if seen is not None and seen.event in self.watch.events else None


class Change(NamedTuple):
    """A change of a row, as the log has it."""

    #: The row before, and after; None where there was none.
    old: Row | None
    new: Row | None
    #: When its statement ran, in milliseconds since 1970.
    at: int


_DECODER = msgspec.json.Decoder(RowChanged)

#: The latest changes: each is parsed once, however many watches look at it.
_parsed: dict[tuple[str, str], Change] = {}
_characters = 0
#: Characters of the events whose changes are kept.
MOST_CHARACTERS = 2 * 1024 * 1024


def change_of(table: Table, body: str) -> Change:
    """The change that an event of a collection's topic tells."""
    global _characters  # noqa: PLW0603 - of the cache
    change = _parsed.get((table.name, body))
    if change is None:
        told = _DECODER.decode(body)
        old, new = (
            None if row == NO_ROW else following.attached(table, table.row(row), row, told.related)
            for row in (told.old, told.new)
        )
        if _characters > MOST_CHARACTERS:
            _parsed.clear()
            _characters = 0
        _characters += len(body)
        change = _parsed[table.name, body] = Change(old, new, told.at)
    return change
