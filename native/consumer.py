"""The consumer of the native socket: it authenticates the client, and holds its feeds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Annotated, Any, ParamSpec, TypeVar

import msgspec
import structlog

from native.commands import COMMANDS, on_loop
from native.dialect import NOBODY_ASKED, Asked, NativeDialect
from native.errors import IdInUseError, UnknownSubscriptionError
from native.feeds import MAX_SUBSCRIPTIONS, Feed, Subscribe, feed_for, feeds
from native.frames import (
    Ack,
    AuthRefreshed,
    Envelope,
    Hello,
    Limits,
    Me,
    NativeError,
    Pong,
    Resync,
    ServerPing,
    Subscribed,
    SubscriptionId,
    Unsubscribed,
)
from native.pings import Pings, interval_seconds
from native.turns import turn_of
from native.waiting import WAITING
from realtime import (
    Access,
    Connection,
    Event,
    Identity,
    RateLimitedError,
    RealtimeError,
    Ref,
    Request,
    RestThrottle,
    Subscription,
    UnauthenticatedError,
    conf,
    counted_address,
    errors,
    events,
)

#: The least time between two typing frames of a page; others would tell nobody anything new.
TYPING_INTERVAL_MS = 3_000

P = ParamSpec("P")
T = TypeVar("T")


class Authenticate(msgspec.Struct):
    """Authenticate by an access token."""

    # Any JSON value: `identify` answers everything that is no token in the same way.
    token: Annotated[Any, msgspec.Meta(extra_json_schema={"type": "string", "examples": ["eyJhbGciOi…"]})] = (
        None
    )


class Ping(msgspec.Struct):
    """Ask whether the other side is there."""


class Unsubscribe(msgspec.Struct):
    """End a subscription."""

    id: SubscriptionId = None


class NativeConsumer(Connection):
    """The native socket of one user. Every command is answered once."""

    __slots__ = ("_address", "_kept", "access", "feeds")

    kind = "native"
    dialect = NativeDialect()
    commands = COMMANDS
    envelope = Envelope
    frames = (
        *(Hello, AuthRefreshed, ServerPing, Pong),
        *(Ack, NativeError),
        *(Subscribed, Resync, Unsubscribed),
    )

    #: The access of the socket; None until the client has authenticated.
    access: Access | None

    def __init__(self) -> None:
        self.access = None
        #: The client's subscriptions, by the id that the client chose.
        self.feeds: dict[Ref, Feed] = {}
        self._kept: dict[Any, Any] = {}
        self._address = ""

    # --- for apps -----------------------------------------------------------------------------------

    @property
    def there(self) -> Access:
        """The access of the socket; no command is obeyed before there is one."""
        assert self.access is not None
        return self.access

    @property
    def user(self) -> Any:
        """The user, as the last token found them, updated by later events."""
        return self.there.user

    @property
    def user_id(self) -> int:
        """The user's id."""
        return int(self.user.pk)

    def acknowledge(self, asked: Asked) -> None:
        """Answer a command that has no result."""
        self.push(Ack(ref=asked.ref))

    def covers(self, topic: str) -> bool:
        """Whether some feed proves that the user may listen to a topic."""
        return any(feed.covers(topic) for feed in self.feeds.values())

    def keep(self, make: Callable[[NativeConsumer], T]) -> T:
        """An object that an app keeps per socket, made by the first call; `close` is awaited at the end."""
        kept = self._kept.get(make)
        if kept is None:
            kept = self._kept[make] = make(self)
        return kept

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Await synchronous code that uses the database, in a turn of this user."""
        async with turn_of(self.user_id):
            return await super().run(function, *args, **kwargs)

    def mistake(self, error: RealtimeError, asked: Asked) -> None:
        """Answer a command that failed after its method had returned."""
        self._mistake(error, asked)

    def forget_feed(self, feed: Feed) -> None:
        """End a feed, and forget it."""
        if self.feeds.get(feed.id) is feed:
            del self.feeds[feed.id]
        feed.end()

    # --- what a connection asks of it ---------------------------------------------------------------

    @classmethod
    def enveloped(cls) -> Iterable[type[Event]]:
        told = dict.fromkeys(event for kind in feeds().values() for event in kind.tells())  # each once
        return [variant for event in told for variant in event.variants()]

    async def on_open(self) -> None:
        if (error := self.scope.get("auth_error")) is not None:
            raise error
        identity = self.scope.get("identity")
        if identity is not None:
            self._let_in(identity, NOBODY_ASKED)
        else:
            self._address = counted_address(self.scope)
            WAITING.enter(self, self._address)

    async def on_close(self) -> None:
        WAITING.leave(self, self._address)
        Pings.current().forget(self)
        # Feeds and kept objects refer back to this consumer: dropped here, they are freed at once.
        feeds, self.feeds = self.feeds, {}
        for feed in feeds.values():
            feed.end()
        kept_by_apps, self._kept = self._kept, {}
        for kept in kept_by_apps.values():
            await kept.close()

    def on_request(self, request: Request) -> Awaitable[None] | None:
        if self.access is None and request.name != "auth":
            raise UnauthenticatedError("The first frame must be `auth`.")
        return super().on_request(request)

    def on_access_lost(self, subscription: Subscription) -> None:
        if isinstance(subscription.id, Feed):
            subscription.id.on_access_lost(subscription)

    def on_missed(self, subscription: Subscription) -> None:
        if isinstance(subscription.id, Feed):
            subscription.id.on_missed(subscription)

    def on_misled(self, subscription: Subscription, seq: int) -> None:
        if isinstance(subscription.id, Feed):
            subscription.id.on_misled(subscription, seq)
        else:  # the user's own topic: sessions may have changed
            super().on_misled(subscription, seq)

    def about(self) -> dict[str, Any]:
        return super().about() | {"user_id": None if self.access is None else self.access.user_id}

    # --- whose it is --------------------------------------------------------------------------------

    def _let_in(self, identity: Identity, asked: Asked) -> None:
        user = identity.user
        structlog.contextvars.bind_contextvars(user_id=user.pk)
        self.check_sockets_of(user.pk)
        self.access = self.admit(identity)
        Pings.current().add(self)
        self.push(
            Hello(
                ref=asked.ref,
                session=self.socket_id,
                user=Me(user.pk, user.username),
                server_time=events.now(),
                expires_at=int(identity.expires_at),
                ping_interval_ms=interval_seconds() * 1000,
                limits=Limits(
                    frame_bytes=conf.limit_message_bytes,
                    subscriptions=MAX_SUBSCRIPTIONS,
                    content_characters=conf.limit_content,
                    typing_interval_ms=TYPING_INTERVAL_MS,
                ),
                features=sorted(feeds()),
            )
        )


@on_loop("auth", Authenticate, Hello)
async def authenticate(socket: NativeConsumer, frame: Authenticate, asked: Asked) -> None:
    """Authenticate a client whose handshake had no credential; this must be its first frame."""
    if socket.access is not None:
        raise errors.InvalidFrameError("This socket is authenticated: send a new token with `auth.refresh`.")
    WAITING.leave(socket, socket._address)  # noqa: SLF001
    try:
        identity = await socket.scope["identify"](frame.token)
        if not socket.outbox.is_closing:
            socket._let_in(identity, asked)  # noqa: SLF001
    except RealtimeError as error:
        socket.refuse(error, ref=asked)


@on_loop("auth.refresh", Authenticate, AuthRefreshed)
async def refresh(socket: NativeConsumer, frame: Authenticate, asked: Asked) -> None:
    """Go on with a new access token of the same user."""
    await socket.there.renew_with(partial(socket.scope["identify"], frame.token))
    identity = socket.there.identity
    assert identity is not None
    socket.push(AuthRefreshed(ref=asked.ref, expires_at=int(identity.expires_at)))


@on_loop("ping", Ping, Pong)
def ping(socket: NativeConsumer, _frame: Ping, asked: Asked) -> None:
    """Answer a ping of the client."""
    socket.push(Pong(ref=asked.ref, server_time=events.now()))


@on_loop("pong", Ping, ())
def pong(_socket: NativeConsumer, _frame: Ping, _asked: Asked) -> None:
    """Take the answer to a ping of the server; its arrival is enough."""


@on_loop("subscribe", Subscribe, (Subscribed, Resync))
async def subscribe(socket: NativeConsumer, wish: Subscribe, asked: Asked) -> None:
    """Open a subscription; later commands about it wait until it is answered."""
    if asked.id in socket.feeds:
        raise IdInUseError
    if len(socket.feeds) >= MAX_SUBSCRIPTIONS:
        raise RateLimitedError(f"This socket has {MAX_SUBSCRIPTIONS} subscriptions: end one first.")
    feed = feed_for(socket, wish, asked)
    if feed.most is not None and sum(type(each) is type(feed) for each in socket.feeds.values()) >= feed.most:
        raise RateLimitedError(f"This socket has {feed.most} subscriptions to {feed.topic}: end one first.")
    if wish.snapshot or feed.most is not None:
        RestThrottle.take(socket.user_id)
    socket.feeds[asked.id] = feed
    try:
        await feed.open()
        await feed.answered()
    except BaseException:
        socket.forget_feed(feed)
        raise


@on_loop("unsubscribe", Unsubscribe, Unsubscribed)
def unsubscribe(socket: NativeConsumer, _frame: Unsubscribe, asked: Asked) -> None:
    """End a subscription."""
    feed = socket.feeds.get(asked.id)
    if feed is None:
        raise UnknownSubscriptionError
    socket.forget_feed(feed)
    socket.push(Unsubscribed(ref=asked.ref, id=feed.id, topic=feed.topic))
