"""A feed: one subscription of a client on the native socket, with all that it sends.

An app registers its feeds by the first part of their topic:

    @feed("orders", shows=OrdersSerializer)
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
from native.frames import Resync, Shape, Subscribed, TopicName, Unsubscribed, subscribed_to
from native.rows import RowQuery
from realtime import (
    Enveloped,
    InvalidFrameError,
    InvalidInputError,
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
#: Subscriptions of one socket to a feed that follows its user everywhere, as `mine` does: no page needs more.
MAX_FOLLOWING = 4


class Subscribe(msgspec.Struct):
    """Subscribe to a topic."""

    topic: TopicName
    id: Annotated[Ref, msgspec.Meta(description="What you call it; its topic, where this is left out.")] = (
        None
    )
    since: Annotated[
        Annotated[str, msgspec.Meta(max_length=64)] | int | dict[str, str] | None,
        msgspec.Meta(
            description="The position to resume from; for `mine` an object, the position of each conversation"
            " by its topic. An entry for `mine` itself is taken and not needed."
        ),
    ] = None
    #: The number of rows of a snapshot to answer with.
    snapshot: Annotated[int, msgspec.Meta(ge=1, le=MAX_SNAPSHOT)] | bool = False
    #: Whether every event carries the id of the subscription.
    with_id: bool = False
    #: Whether to send typing too.
    typing: bool = True
    #: Whether to send notices, which are not stored, too.
    notices: bool = True
    #: Which rows, of a topic that is a collection.
    query: RowQuery | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """An envelope: puts the topic, and the id if the client asks for it, in front of an event."""

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
    """The rendering in an envelope; shared by all subscribers that have the same."""
    return Enveloped(rendering, Named(topic))


class Feed:
    """One subscription of a client; a subclass decides who may subscribe, and to what."""

    # A socket may have two hundred feeds, each for as long as the client listens.
    __slots__ = ("_answered", "_asked", "_failure", "id", "name", "socket", "wish")

    #: The most feeds of this class on one socket, if fewer than of all classes together.
    most: ClassVar[int | None] = None
    #: Whether a `query` says what is wanted of the topic.
    takes_query: ClassVar[bool] = False
    #: What it answers when it is live; `feed` makes it.
    subscribed: ClassVar[type[Subscribed]]

    def __init__(self, socket: NativeConsumer, wish: Subscribe, asked: Asked, name: str) -> None:
        """`name` is what follows the first part of the topic: the 42 of `conversation.42`."""
        self.socket = socket
        self.wish = wish
        self.id = asked.id
        self.name = name
        #: The `subscribe` command that waits for its answer; None once it is answered.
        self._asked: Asked | None = asked
        self._answered: asyncio.Future[None] | None = None
        #: The error with which the feed ended before the answer.
        self._failure: RealtimeError | None = None

    # --- for apps -----------------------------------------------------------------------------------

    @classmethod
    def tells(cls) -> Iterable[type[events.Event]]:
        """The event types that the feed sends, for the contract."""
        return ()

    async def open(self) -> None:
        """Check the right to listen, `listen`, and `answer`; a RealtimeError refuses the subscription."""
        raise NotImplementedError(f"{type(self).__name__}.open must say who may listen, and to what")

    def on_access_lost(self, subscription: Subscription) -> None:
        """Called when the user may no longer listen, just after the last event that they may read."""
        raise NotImplementedError(f"{type(self).__name__}.on_access_lost must say what follows")

    def on_missed(self, subscription: Subscription) -> None:
        """Called when events that no log keeps may have been missed: it was behind, or had no room."""

    def on_misled(self, subscription: Subscription, seq: int) -> None:
        """Called when the log has other events from `seq` on than the client was sent."""
        self.socket.restart()

    def covers(self, topic: str) -> bool:
        """Whether the feed proves that the user may listen to a topic: not while it is behind."""
        subscription = self.socket.subscription(topic, self)
        return subscription is not None and not subscription.is_behind

    @property
    def number(self) -> int:
        """The id in the topic; raises NotFoundError where it is none."""
        number = id_in(self.name)
        if number is None:
            raise NotFoundError
        return number

    @property
    def topic(self) -> str:
        """The topic that the client subscribed to."""
        return self.wish.topic

    @property
    def snapshot_size(self) -> int:
        """The number of rows of the snapshot that the client asks for; 0 for none."""
        wished = self.wish.snapshot
        return DEFAULT_SNAPSHOT * wished if isinstance(wished, bool) else wished

    @property
    def since(self) -> str | None:
        """The position to resume from, as the client wrote it."""
        since = self.wish.since
        if isinstance(since, dict):
            raise InvalidFrameError(f"`since` must be one position for {self.topic}.")
        return None if since is None else str(since)

    def named(self, topic: str | None = None) -> Named:
        """The envelope of the feed's events."""
        return Named(topic or self.topic, self.id if self.wish.with_id else None)

    def enveloped(self, rendering: Rendering, shown_as: str | None = None) -> Rendering:
        """A rendering in the envelope of this feed."""
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
        """Subscribe to a topic: its events are sent as `rendering` makes them, under the name `shown_as`."""
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
        """Send the client an event that is not on a topic it listens to."""
        self.socket.push(self.named().wrap(events.encode(event)))

    def answer(self, make: Callable[[Ref], events.Event]) -> None:
        """Send the state of the subscription; the first time as the answer to `subscribe`, with its ref."""
        if self._failure is not None:
            return  # the error is the answer
        asked, self._asked = self._asked, None
        # Answers from one shared look-up are written together: an opening page subscribes to all that it
        # shows.
        self.socket.outbox.join_turn()
        self.socket.push(make(None if asked is None else asked.ref))
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)

    def say_live(self, place: Position, **more: Any) -> None:
        """Answer that the subscription is live from a position on; `more` are fields of the answer."""
        self.answer(
            lambda ref: self.subscribed(
                ref=ref,
                id=self.id,
                topic=self.topic,
                seq=place.seq,
                position=str(place),
                **{"resumed": False, **more},
            )
        )

    def say_resync(self, reason: str, url: str | None, place: Position) -> None:
        """Answer that the client has to load what it missed, and that it is live from a position on."""
        self.answer(lambda ref: self.resync(reason, url, place, ref=ref))

    def resync(
        self, reason: str, url: str | None, place: Position, *, ref: Ref = None, topic: str | None = None
    ) -> Resync:
        """The frame that sends the client to load what it missed of a topic, by default the feed's own."""
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
        """Wait until a snapshot fits into the outbox."""
        if snapshot is not None:
            await self.socket.outbox.room_for(len(snapshot))

    @property
    def is_open(self) -> bool:
        """Whether the feed is still one of its socket's."""
        return self.socket.feeds.get(self.id) is self

    @property
    def is_answered(self) -> bool:
        """Whether `subscribe` was answered."""
        return self._asked is None

    async def answered(self) -> None:
        """Wait until `subscribe` is answered; later commands about this subscription are obeyed then."""
        if self._failure is not None:
            raise self._failure
        if not self.is_answered:
            self._answered = asyncio.get_running_loop().create_future()
            await self._answered

    def give_up(self, error: RealtimeError) -> None:
        """End the feed with an error; the socket and its other feeds go on."""
        self.socket.forget_feed(self)
        if self.is_answered:
            self.socket.push(Unsubscribed(ref=None, id=self.id, topic=self.topic, code=error.code))
            return
        self._failure = error
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error)

    def end(self) -> None:
        """End the feed's subscriptions."""
        for subscription in self.socket.subscriptions():
            if subscription.id is self:
                subscription.end()


F = TypeVar("F", bound=type[Feed])

_feeds: dict[str, type[Feed]] = {}


def feed(name: str, *, shows: Shape = None, answers: type[Subscribed] = Subscribed) -> Callable[[F], F]:
    """Register a feed by the first part of its topics.

    `shows` is the serializer of its snapshot, where it has one, and `answers` adds fields to `subscribed`.
    """

    def register(kind: F) -> F:
        if _feeds.get(name, kind) is not kind:
            raise ValueError(f"There is a feed named {name!r} already: {_feeds[name].__qualname__}")
        _feeds[name] = kind
        kind.subscribed = Subscribed.of_feeds[name] = subscribed_to(name, answers, shows, kind.__module__)
        return kind

    return register


def feeds() -> dict[str, type[Feed]]:
    """All feeds, by the first part of their topics."""
    return _feeds


def feed_for(socket: NativeConsumer, wish: Subscribe, asked: Asked) -> Feed:
    """A new feed for a topic, not open yet; raises UnknownTopicError where no app has one."""
    first, _, name = wish.topic.partition(".")
    kind = _feeds.get(first)
    if kind is None:
        raise UnknownTopicError
    if wish.query is not None and not kind.takes_query:
        raise InvalidInputError(f"{wish.topic} takes no `query`.")
    return kind(socket, wish, asked, name)
