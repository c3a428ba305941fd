"""Connection: one WebSocket from accept to its end, whatever its protocol.

It accepts or refuses in a way that the client can read, reads with limits, obeys the commands of its
consumer, keeps the consumer's accesses and subscriptions, closes a client that makes nothing but mistakes,
and cleans up in `finally`. The dialect knows what frames mean.

    Connection ── accept, limits, outbox, tasks, end
      ├── Dialect        frames → requests, errors → frames: a value for each protocol
      ├── Access         an identity, until when, and what then happens; one or several
      └── Subscription   a topic, the rendering of its events, and this socket's position in it
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Hashable, Iterable
from typing import Any, ClassVar, ParamSpec, TypeVar
from urllib.parse import parse_qs

import msgspec
import structlog
from channels.consumer import AsyncConsumer

from realtime import errors, events
from realtime.database.threads import run_in_thread
from realtime.defaults import conf
from realtime.errors import RealtimeError
from realtime.events import Event
from realtime.hub.catch_up import CatchUp
from realtime.hub.hub import Hub
from realtime.hub.rendering import Rendering
from realtime.hub.subscription import ONLY, Subscription
from realtime.hub.subscription import Access as SubscribedAs
from realtime.log.positions import START, Position
from realtime.rates import Bucket
from realtime.sockets import metrics
from realtime.sockets.access import Access, Identity, OnLost
from realtime.sockets.commands import Commands, check, obey
from realtime.sockets.dialect import BARRIER, INLINE, Dialect, Request, deny
from realtime.sockets.lanes import Lanes
from realtime.topics import user_topic
from realtime.wire import sizes
from realtime.wire.frames import Payload
from realtime.wire.outbox import outbox_for
from realtime.wire.wire import Send

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

#: Frames refused by the rate limit, less those granted, before the socket is closed with 4429.
MAX_FLOOD = 400

#: Consumers on routes without a declared size, each logged once.
_undeclared: set[type[Any]] = set()


def _restarting() -> errors.RestartingError:
    # The hub spreads the closes over 4.4 s; this makes it 5.8 until all ask again, and few are away for 2.
    return errors.RestartingError(retry_after_ms=200 + secrets.randbelow(1200))


class Connection(AsyncConsumer):
    """Base of every consumer: a subclass names a `dialect` and `commands`, and overrides `on_…` methods."""

    # With ten thousand idle sockets, memory is what each of them keeps: so slots.
    __slots__ = (
        "_accesses",
        "_catching_up",
        "_course",
        "_end",
        "_flood",
        "_frame_bucket",
        "_lanes",
        "_max_bytes",
        "_mistakes",
        "_subscriptions",
        "_tasks",
        "hub",
        "outbox",
        "path",
        "query",
        "scope",
        "socket_id",
    )

    #: The kind of socket, in metrics and logs.
    kind: ClassVar[str] = "other"
    #: The commands that a client may send, by name.
    commands: ClassVar[Commands] = {}
    #: The frames that the socket may send, and the parameters of its address. With frames, it is in the
    #: contract.
    frames: ClassVar[tuple[type[Event], ...]] = ()
    #: The fields in front of enveloped events.
    envelope: ClassVar[type[msgspec.Struct] | None] = None
    parameters: ClassVar[type[msgspec.Struct] | None] = None

    hub: Hub
    #: The dialect. A consumer may choose another value while the socket is open.
    dialect: Dialect
    #: The variable parts of the path, and the parameters of the query.
    path: dict[str, Any]
    query: dict[str, str]

    scope: dict[str, Any]  # type: ignore[assignment]  # Channels types what a stock server puts in, and we add to it

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check(cls, cls.commands)
        for name in vars(Connection).keys() & vars(cls).keys():
            if name.startswith("_") and not name.startswith("__"):
                raise TypeError(f"{cls.__name__} would replace {name} of Connection: choose another name")

    async def __call__(  # type: ignore[override]  # Channels types each message; ours are dictionaries
        self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Send
    ) -> None:
        self.scope = scope
        self.socket_id = secrets.token_hex(6)
        self.hub = Hub.current()
        self.path = scope.get("url_route", {}).get("kwargs", {})
        self.query = {k: v[-1] for k, v in _parameters(scope).items()}
        self.outbox = outbox_for(scope, send, self._too_slow, self._stop)
        self._accesses: list[Access] = []
        self._subscriptions: dict[tuple[Hashable, str], Subscription] = {}
        #: Reads the log for subscriptions that are behind; None without any.
        self._catching_up: CatchUp | None = None
        #: The commands under way; most sockets never need it.
        self._lanes: Lanes | None = None
        #: The task that runs the connection; None if it was stopped because the server does not report the
        #: peer's end.
        self._course = asyncio.current_task()
        #: The first close code and reason.
        self._end: tuple[object, str] | None = None
        #: The tasks beside the connection; most sockets never have any.
        self._tasks: set[asyncio.Task[None]] | None = None
        self._frame_bucket, self._mistakes, self._flood = Bucket(), Bucket(), 0
        self._max_bytes = self._size_limit(scope["path"].removeprefix(scope.get("root_path", "")))
        self.on_handshake()
        if not hasattr(self, "dialect"):
            raise TypeError(
                f"{type(self).__name__} has no dialect: name one in it, or choose it in on_handshake"
            )

        if (await receive())["type"] != "websocket.connect":
            return
        structlog.contextvars.bind_contextvars(socket_id=self.socket_id)
        self.hub.sockets.add(self)
        metrics.opened(self.kind)
        try:
            if await self._open(send):
                while (message := await receive())["type"] == "websocket.receive":
                    if not self.outbox.is_closing:  # after a refusal or a revocation no frame is obeyed
                        await self._receive(message)
                self._end = self._end or (message.get("code"), "peer")
                if self._lanes is not None:
                    await self._lanes.done()
        except asyncio.CancelledError:
            # The server stops without `drain`: tell the client at least that it is a restart.
            self.unsubscribe_all()
            self._close(errors.CloseCode.RESTARTING, "stopped")
            self.outbox.open()  # if it was not accepted yet, it never will be
            await self.outbox.drained()
            if self._course is not None:
                raise
        finally:
            await self._leave_everything()

    # --- for consumers to override ------------------------------------------------------------------

    @classmethod
    def enveloped(cls) -> Iterable[type[Event]]:
        """The event types that are sent in the `envelope`; asked when all apps are ready."""
        return ()

    def on_handshake(self) -> None:
        """Choose a dialect from the handshake, if the class does not name one."""

    async def on_open(self) -> None:
        """Authenticate, and subscribe to topics; a RealtimeError refuses the socket."""

    async def on_close(self) -> None:
        """Release what the consumer holds; runs once, at the end of every socket."""

    def on_request(self, request: Request) -> Awaitable[None] | None:
        """Obey a request; a RealtimeError becomes its answer."""
        if request.flaw is not None:
            raise request.flaw
        return obey(self, self.commands, request)

    def on_access_lost(self, subscription: Subscription) -> None:
        """Called when the user may no longer listen, just after the last event that they may read."""

    def on_missed(self, subscription: Subscription) -> None:
        """Called when events that no log keeps may have been missed: it was behind, or had no room."""

    def on_misled(self, subscription: Subscription, seq: int) -> None:
        """Called when the log of a topic has other events from `seq` on than this socket was sent.

        The rights of the user may differ there too. By default the client is asked to come back, as after a
        restart; a consumer that can check the rights on the open socket overrides this.
        """
        self.restart()

    def about(self) -> dict[str, Any]:
        """The fields of this socket in log lines."""
        topics = sorted({topic for _, topic in self._subscriptions})
        return {"socket_id": self.socket_id, "socket_path": self.scope["path"], "topics": topics}

    # --- who it speaks for --------------------------------------------------------------------------

    def admit(self, identity: Identity | None, *, on_lost: OnLost | None = None) -> Access:
        """Give an identity access, or None for an anonymous one. Equal identities share one access.

        `on_lost` is called with the access and the error when the identity is no longer valid; without it the
        socket is closed. Each `admit` needs a `dismiss`, or the end of the socket.
        """
        access = next((each for each in self._accesses if each.covers(identity)), None)
        if access is None:
            access = Access(self, identity, on_lost)
            self._accesses.append(access)
        access.holders += 1
        return access

    def check_sockets_of(self, user_id: int) -> None:
        """Raise a RateLimitedError if the user has as many sockets open as LIMIT_SOCKETS_PER_USER."""
        audience = self.hub.audience(user_topic(user_id))
        if audience is None or conf.limit_sockets_per_user <= 0:
            return
        if len({each.socket for each in audience.subscriptions()}) >= conf.limit_sockets_per_user:
            raise errors.RateLimitedError("Too many open sockets for this user.", retry_after_ms=30_000)

    def dismiss(self, access: SubscribedAs) -> None:
        """Release one use of an access; the last one ends it."""
        for own in self._accesses:
            if own is access:
                own.holders -= 1
                if own.holders <= 0:
                    self.drop(own)
                return

    def drop(self, access: Access) -> None:
        """End an access, however many parts of the connection use it."""
        if access in self._accesses:
            self._accesses.remove(access)
            access.end()

    # --- what it listens to -------------------------------------------------------------------------

    def subscribe(
        self,
        topic: str,
        rendering: Rendering,
        *,
        access: Access,
        id: Hashable = ONLY,  # noqa: A002 - the word of every dialect
        position: Position | None = None,
        authorized_at: Position | None = None,
        name: Hashable = None,
        on_live: Callable[[Position], None] | None = None,
    ) -> Subscription:
        """Subscribe to a topic: an ephemeral one, or a durable one from `position` on.

        `rendering` makes its frames, and `access` says for whom. `authorized_at` is the topic's head when the
        right to listen was read: an event after it may take the right away. `on_live` is called with the
        position once the subscription is live, in the same turn, before any later event; if the log has
        another event at `position`, or none, `on_misled` is called instead. `name` is a name by which events
        can leave this subscription out. A second subscription with the same id and topic replaces the first.
        """
        if (position is None) != (authorized_at is None):
            message = (
                f"A durable topic needs both position and authorized_at, an ephemeral one neither: {topic}"
            )
            raise TypeError(message)
        if access.is_over:  # the access ended during an `await`, so nothing would end this subscription
            raise errors.UnauthenticatedError("The access that this was asked with has ended.")
        subscription = Subscription(
            self,
            access,
            rendering,
            id=id,
            position=position or START,
            authorized_at=(authorized_at or START).seq,
            name=name,
            on_live=on_live,
        )
        before = self._subscriptions.get((id, topic))
        self.hub.subscribe(subscription, topic, authorized_at=authorized_at)
        self._subscriptions[id, topic] = subscription
        if before is not None:
            before.audience.remove(before)
            before.became_live()
        if self.outbox.is_closing:
            subscription.end()
        elif not subscription.is_behind:
            subscription.announce_live()
        elif not subscription.is_suspended:
            self.catch_up(subscription)
        return subscription

    def subscription(self, topic: str, id: Hashable = ONLY) -> Subscription | None:  # noqa: A002 - as above
        """The subscription to a topic, if there is one."""
        return self._subscriptions.get((id, topic))

    def subscriptions(self) -> Collection[Subscription]:
        """All subscriptions of the socket."""
        return tuple(self._subscriptions.values())

    def unsubscribe_all(self) -> None:
        """End all subscriptions, before the close: pending events of shared batches are still sent."""
        for subscription in self.subscriptions():
            subscription.end()

    # --- what it says -------------------------------------------------------------------------------

    def push(self, frame: Payload | Event | dict[str, Any]) -> None:
        """Send a frame; never blocks. An object that is no finished frame is encoded as JSON."""
        self.outbox.push(frame if isinstance(frame, (str, bytes)) else events.encode(frame))

    def tell_error(self, error: RealtimeError, *, ref: Any = None) -> None:
        """Answer with an error, if the dialect has a frame for it."""
        frame = self.dialect.error(error, ref)
        if frame is not None:
            self.outbox.push(frame)

    def refuse(self, error: RealtimeError, *, ref: Any = None) -> None:
        """Send an error and close; from now on no frame is obeyed, and no event sent."""
        self.unsubscribe_all()
        self.tell_error(error, ref=ref)
        self._close(self.dialect.close_code(error), error.code)

    def restart(self) -> None:
        """Tell the client that the server is stopping, so that it comes back."""
        error = _restarting()
        self.unsubscribe_all()
        frame = self.dialect.restarting(error)
        if frame is not None:
            self.outbox.push(frame)
        self._close(self.dialect.close_code(error), error.code)

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Await synchronous code that uses the database: the border between sockets and Django."""
        return await run_in_thread(function, *args, **kwargs)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task that ends with the socket; if it fails, the socket fails."""
        task = asyncio.get_running_loop().create_task(work)
        if self._tasks is None:
            self._tasks = set()
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    # --- what the hub asks of it --------------------------------------------------------------------

    def catch_up(self, subscription: Subscription) -> None:
        """Read the log for a subscription that is behind; one task does so for the whole socket."""
        if self._catching_up is None:
            self._catching_up = CatchUp(self)
            # In an empty context, so that log lines carry no other socket's ids: this may run in any socket's
            # turn.
            contextvars.Context().run(self.spawn, self._catch_up())
        self._catching_up.add(subscription)

    async def _catch_up(self) -> None:
        assert self._catching_up is not None
        try:
            await self._catching_up.run()
        finally:
            self._catching_up = None

    def forget(self, subscription: Subscription) -> None:
        """Forget a subscription that has ended."""
        key = subscription.id, subscription.topic
        if self._subscriptions.get(key) is subscription:
            del self._subscriptions[key]

    # --- the course of a connection -----------------------------------------------------------------

    async def _open(self, send: Send) -> bool:
        """Open the socket; returns False if it was refused before accept."""
        # Authorized before accept: an accepted page receives every event from then on.
        try:
            if self.hub.is_draining:
                metrics.HANDSHAKES_REFUSED.add("draining")
                raise _restarting()
            await self.on_open()
        except RealtimeError as error:
            refusal = self.dialect.refusal(error)
            if refusal is not None:
                self.unsubscribe_all()
                self._end = (None, error.code)
                metrics.HANDSHAKES_REFUSED.add(error.code)
                await deny(self.scope, send, refusal)
                return False
            self.refuse(error)
        except Exception:  # noqa: BLE001 - told by _fail
            self._fail()
        await send(
            {
                "type": "websocket.accept",
                "subprotocol": self.dialect.subprotocol(self.scope.get("subprotocols", ())),
            }
        )
        self.outbox.open()
        return True

    async def _receive(self, message: dict[str, Any]) -> None:
        """Take one frame. A mistake in it is answered; only a frame that is too big ends the socket."""
        text = message.get("text")
        payload = text if text is not None else (message.get("bytes") or b"")
        metrics.FRAMES_RECEIVED.value += 1
        try:
            self._check_rate()
            if self._is_too_big(payload):
                raise errors.TooBigError
            request = self.dialect.read(payload)
        except errors.TooBigError as error:
            self.refuse(error)
        except RealtimeError as error:
            self._mistake(error, None)
        except Exception:  # noqa: BLE001 - told by _fail
            self._fail()
        else:
            await self._take(request)

    async def _take(self, request: Request) -> None:
        if request.lane is INLINE or request.lane is BARRIER:
            work = self._obey(request)
            if work is not None:
                await work
            return
        if self._lanes is None:
            self._lanes = Lanes(self._obey)
        self._lanes.take(request)
        if self._lanes.is_full:
            await self._lanes.room()

    def _obey(self, request: Request) -> Awaitable[None] | None:
        """Obey a request, or answer its error; returns what has to be awaited."""
        if self.outbox.is_closing:
            return None
        try:
            work = self.on_request(request)
        except Exception as error:  # noqa: BLE001 - told by _answer_failure
            self._answer_failure(error, request.ref)
            return None
        return None if work is None else self._await(work, request.ref)

    async def _await(self, work: Awaitable[None], ref: Any) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - told by _answer_failure
            self._answer_failure(error, ref)

    def _answer_failure(self, error: Exception, ref: Any) -> None:
        if isinstance(error, errors.TooBigError):
            self.refuse(error)
        elif isinstance(error, RealtimeError):
            self._mistake(error, ref)
        else:
            self._fail(error)

    def _is_too_big(self, payload: Payload) -> bool:
        # UTF-8 has at most 4 bytes a character: a short text need not be encoded to be measured.
        if isinstance(payload, bytes) or len(payload) * 4 <= self._max_bytes:
            return len(payload) > self._max_bytes
        return len(payload.encode(errors="replace")) > self._max_bytes

    # --- limits and ends ----------------------------------------------------------------------------

    def _size_limit(self, path: str) -> int:
        declared = sizes.declared_bytes(path)
        if declared is None and type(self) not in _undeclared:
            _undeclared.add(type(self))
            logger.warning(
                "The route of %s is not declared in realtime.wire.sizes: its messages have the least size",
                type(self).__name__,
                extra={"socket_path": path[:200]},
            )
        return sizes.least_bytes() if declared is None else declared

    def _check_rate(self) -> None:
        wait = self._frame_bucket.wait(conf.limit_frames, time.monotonic())
        if not wait:
            # Not forgiven at once: even in a flood, the rate grants a frame now and then.
            self._flood = max(0, self._flood - 1)
            return
        self._flood += 1
        if self._flood >= MAX_FLOOD:
            self.refuse(errors.RateLimitedError(retry_after_ms=30_000))
        raise errors.RateLimitedError(retry_after_ms=max(1, round(wait * 1000)))

    def _mistake(self, error: RealtimeError, ref: Any) -> None:
        """Answer a request that failed; a client that makes nothing but mistakes is closed."""
        metrics.COMMANDS_REFUSED.add(error.code)
        self.tell_error(error, ref=ref)
        is_theirs = not error.retryable and error.status < 500
        if is_theirs and self._mistakes.wait(conf.limit_mistakes, time.monotonic()):
            self.refuse(errors.TooManyErrorsError())

    def _fail(self, failure: BaseException | None = None) -> None:
        """Close after a fault of the server: the log has the details, the client only the code."""
        logger.error("A socket failed", exc_info=failure or True, extra=self.about())
        self.refuse(RealtimeError())

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._tasks is not None:
            self._tasks.discard(task)
            self._tasks = self._tasks or None
        failure = None if task.cancelled() else task.exception()
        if isinstance(failure, RealtimeError):
            self.tell_error(failure)
        elif failure is not None:
            self._fail(failure)

    def _too_slow(self) -> None:
        logger.warning("A socket was closed: its peer does not read", extra=self.about())
        self.unsubscribe_all()
        self._close(errors.CloseCode.TOO_SLOW, "too_slow")

    def _close(self, code: int, reason: str) -> None:
        self._end = self._end or (code, reason)
        self.outbox.close(code)

    def _stop(self) -> None:
        """End without the server, which would wait for ever for a peer that does not read its close frame."""
        course, self._course = self._course, None
        if course is not None:
            course.cancel()

    async def _leave_everything(self) -> None:
        self.hub.sockets.discard(self)
        metrics.closed(self.kind, *(self._end or (None, "failed")))
        if self._lanes is not None:
            self._lanes.cancel()
            self._lanes = None  # it refers back to the connection
        for task in list(self._tasks or ()):
            task.cancel()
        for access in self._accesses:
            access.end()
        self._accesses.clear()
        self.unsubscribe_all()
        self.outbox.abandon()
        try:
            await self.on_close()
        except Exception:
            logger.exception("A socket could not clean up", extra=self.about())


def _parameters(scope: dict[str, Any]) -> dict[str, list[str]]:
    # Blank ones too: `?since=` is a position that cannot be resumed from, and does not ask for a new
    # beginning.
    return parse_qs(scope.get("query_string", b"").decode("latin1"), keep_blank_values=True)
