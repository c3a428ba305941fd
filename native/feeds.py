"""A feed is one subscription of a client: what it is told, from where on, and what ends it.

An app registers its feeds by the first part of their topic:

    @feed("orders")
    class OrdersFeed(Feed):
        async def open(self) -> None:
            ...
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

import msgspec

from native.dialect import Asked
from native.errors import UnknownTopicError
from native.frames import Resync, Subscribed, TopicName, Unsubscribed
from realtime import (
    Enveloped,
    InvalidFrameError,
    NotFoundError,
    Payload,
    Position,
    RealtimeError,
    Ref,
    Rendering,
    Subscription,
    events,
    id_in,
)

if TYPE_CHECKING:
    from native.consumer import NativeConsumer

DEFAULT_SNAPSHOT, MAX_SNAPSHOT = 50, 200
#: Subscriptions of one socket: more than any page shows.
MAX_SUBSCRIPTIONS = 200
#: Of one socket to something that follows its user into everything: no page shows that twice.
MAX_FOLLOWING = 4


class Subscribe(msgspec.Struct):
    """Listen to a topic."""

    topic: TopicName
    id: Annotated[Ref, msgspec.Meta(description="What you call it; its topic, where this is left out.")] = (
        None
    )
    #: Go on after this position; an object of positions where the topic has several.
    since: Annotated[str, msgspec.Meta(max_length=64)] | int | dict[str, str] | None = None
    #: What there is now comes along: so many of it.
    snapshot: Annotated[int, msgspec.Meta(ge=1, le=MAX_SNAPSHOT)] | bool = False
    #: Every event carries the id of the subscription.
    with_id: bool = False
    #: Tell who types.
    typing: bool = True
    #: Tell also what is not stored.
    notices: bool = True


@dataclass(frozen=True, slots=True)
class Named:
    """Puts the topic, and the id where the client asked for it, in front of an event."""

    topic: str
    id: Ref = None

    def wrap(self, payload: Payload) -> Payload:
        assert isinstance(payload, str), "events are told as text here"
        return f'{{{self._id()}"topic":"{self.topic}",{payload[1:]}'

    def _id(self) -> str:
        if self.id is None:
            return ""
        return f'"id":{events.encode_text(self.id) if isinstance(self.id, str) else self.id},'


@lru_cache(maxsize=4096)
def _enveloped(rendering: Rendering, topic: str) -> Enveloped:
    """One value for all who are told a topic in the same way, so that not each of them keeps its own."""
    return Enveloped(rendering, Named(topic))


class Feed:
    """One subscription of a client; a subclass says who may listen, and to what."""

    # A socket may have two hundred, and each is there for as long as the client listens.
    __slots__ = ("_answered", "_asked", "_failure", "id", "name", "socket", "wish")

    #: How many of its kind one socket may have, where that is fewer than of all kinds together.
    most: ClassVar[int | None] = None

    def __init__(self, socket: NativeConsumer, wish: Subscribe, asked: Asked, name: str) -> None:
        """`name` is what follows the first part of the topic: the 42 of `conversation.42`."""
        self.socket = socket
        self.wish = wish
        self.id = asked.id
        self.name = name
        #: What is to be answered; None once it is.
        self._asked: Asked | None = asked
        self._answered: asyncio.Future[None] | None = None
        #: Why it was given up before that.
        self._failure: RealtimeError | None = None

    # --- for apps -----------------------------------------------------------------------------------

    @classmethod
    def tells(cls) -> Iterable[type[events.Event]]:
        """The events that it tells, for the contract."""
        return ()

    async def open(self) -> None:
        """Find out whether the user may listen, `listen`, and `answer`; a RealtimeError refuses it."""
        raise NotImplementedError(f"{type(self).__name__}.open must say who may listen, and to what")

    def on_access_lost(self, subscription: Subscription) -> None:
        """The right to listen was taken away, just after the last event that it covers."""
        raise NotImplementedError(f"{type(self).__name__}.on_access_lost must say what follows")

    def on_missed(self, subscription: Subscription) -> None:
        """Events that no log keeps may have passed a subscription by: it was behind, or there was no room."""

    def on_misled(self, subscription: Subscription, seq: int) -> None:
        """Other events follow at least `seq` in the log than those that were told."""
        self.socket.restart()

    def covers(self, topic: str) -> bool:
        """Whether it shows that the user may listen to a topic; not while it may have missed a removal."""
        subscription = self.socket.subscription(topic, self)
        return subscription is not None and not subscription.is_behind

    @property
    def number(self) -> int:
        """The id in its topic; a NotFoundError where that is none."""
        number = id_in(self.name)
        if number is None:
            raise NotFoundError
        return number

    @property
    def topic(self) -> str:
        """What the client subscribed to."""
        return self.wish.topic

    @property
    def snapshot_size(self) -> int:
        """How much of what there is comes along; 0: nothing."""
        wished = self.wish.snapshot
        return DEFAULT_SNAPSHOT * wished if isinstance(wished, bool) else wished

    @property
    def since(self) -> str | None:
        """The position to go on after, as the client wrote it."""
        since = self.wish.since
        if isinstance(since, dict):
            raise InvalidFrameError(f"The since of {self.topic} is one position.")
        return None if since is None else str(since)

    def named(self, topic: str | None = None) -> Named:
        """What stands in front of its events."""
        return Named(topic or self.topic, self.id if self.wish.with_id else None)

    def enveloped(self, rendering: Rendering, shown_as: str | None = None) -> Rendering:
        """A rendering whose frames say whose events they are."""
        named = self.named(shown_as)
        return _enveloped(rendering, named.topic) if named.id is None else Enveloped(rendering, named)

    def listen(
        self,
        topic: str,
        rendering: Rendering,
        *,
        shown_as: str | None = None,
        position: Position | None = None,
        authorized_at: Position | None = None,
        on_live: Callable[[Position], None] | None = None,
    ) -> Subscription:
        """Tell the client the events of a topic, as `rendering` makes them, under the name `shown_as`."""
        return self.socket.subscribe(
            topic,
            self.enveloped(rendering, shown_as),
            access=self.socket.there,
            id=self,
            position=position,
            authorized_at=authorized_at,
            on_live=on_live,
        )

    def tell(self, event: events.Event) -> None:
        """Tell the client something of this subscription, besides what it listens to."""
        self.socket.push(self.named().wrap(events.encode(event)))

    def answer(self, make: Callable[[Ref], events.Event]) -> None:
        """Say how the subscription stands, first as the answer to `subscribe`, whose ref `make` is given."""
        if self._failure is not None:
            return  # which is the answer
        asked, self._asked = self._asked, None
        # What is looked up together is answered in one turn: a page that opens subscribes to all it shows.
        self.socket.outbox.join_turn()
        self.socket.push(make(None if asked is None else asked.ref))
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)

    def say_live(self, place: Position, *, kind: type[Subscribed] = Subscribed, **more: Any) -> None:
        """Answer that it is live from a position on; `more` are fields of the answer besides those of all."""
        self.answer(
            lambda ref: kind(
                ref=ref,
                id=self.id,
                topic=self.topic,
                seq=place.seq,
                position=str(place),
                **{"resumed": False, **more},
            )
        )

    def say_resync(self, reason: str, url: str, place: Position) -> None:
        """Answer that what was missed cannot be told, and that it is live from a position on."""
        self.answer(lambda ref: self.resync(reason, url, place, ref=ref))

    def resync(
        self, reason: str, url: str, place: Position, *, ref: Ref = None, topic: str | None = None
    ) -> Resync:
        """What says that what was missed of a topic, by default its own, cannot be told."""
        return Resync(
            ref=ref,
            id=self.id,
            topic=topic or self.topic,
            reason=reason,
            url=url,
            seq=place.seq,
            position=str(place),
        )

    async def room_for(self, snapshot: msgspec.Raw | None) -> None:
        """Wait until the peer has taken enough of what waits for a snapshot to follow."""
        if snapshot is not None:
            await self.socket.outbox.room_for(len(snapshot))

    @property
    def is_open(self) -> bool:
        """Whether it is still among those of its socket."""
        return self.socket.feeds.get(self.id) is self

    @property
    def is_answered(self) -> bool:
        """Whether the client knows how it stands."""
        return self._asked is None

    async def answered(self) -> None:
        """Wait for the answer: what the client asks about this subscription next is obeyed after it."""
        if self._failure is not None:
            raise self._failure
        if not self.is_answered:
            self._answered = asyncio.get_running_loop().create_future()
            await self._answered

    def give_up(self, error: RealtimeError) -> None:
        """End it and say why; the socket and its other subscriptions go on."""
        self.socket.forget_feed(self)
        if self.is_answered:
            self.socket.push(Unsubscribed(ref=None, id=self.id, topic=self.topic, code=error.code))
            return
        self._failure = error
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error)

    def end(self) -> None:
        """Tell it nothing more."""
        for subscription in self.socket.subscriptions():
            if subscription.id is self:
                subscription.end()


F = TypeVar("F", bound=type[Feed])

_feeds: dict[str, type[Feed]] = {}


def feed(name: str) -> Callable[[F], F]:
    """Register a feed by the first part of its topics."""

    def register(kind: F) -> F:
        if _feeds.get(name, kind) is not kind:
            raise ValueError(f"There is a feed named {name!r} already: {_feeds[name].__qualname__}")
        _feeds[name] = kind
        return kind

    return register


def feeds() -> dict[str, type[Feed]]:
    """All feeds, by the first part of their topics."""
    return _feeds


def feed_for(socket: NativeConsumer, wish: Subscribe, asked: Asked) -> Feed:
    """The feed of a topic, not open yet; an UnknownTopicError where there is none."""
    first, _, name = wish.topic.partition(".")
    kind = _feeds.get(first)
    if kind is None:
        raise UnknownTopicError
    return kind(socket, wish, asked, name)
