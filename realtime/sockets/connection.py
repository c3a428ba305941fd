"""Connection: one WebSocket from accept to the end, whatever protocol is spoken on it.

It accepts or refuses so that the client can read why, reads with limits, obeys the commands of its consumer,
keeps what the consumer listens to and who it speaks for, sends away whoever makes nothing but mistakes, and
tidies up in `finally`. What frames mean is the dialect's affair.

    Connection ── accept, limits, outbox, tasks, end
      ├── Dialect        frames → requests, errors → frames: a value for each protocol
      ├── Access         who it speaks for, until when, and what then happens; one or several
      └── Subscription   a topic, how its events are rendered, and how far this socket is in it
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

#: Frames that were refused by the rate, less those that were granted, before the socket is closed with 4429.
MAX_FLOOD = 400

#: Consumers on routes without a declared size, each logged once.
_undeclared: set[type[Any]] = set()


def _restarting() -> errors.RestartingError:
    # The hub spreads the closes over 4.4 s; this makes it 5.8 until all ask again, and few are away for 2.
    return errors.RestartingError(retry_after_ms=200 + secrets.randbelow(1200))


class Connection(AsyncConsumer):
    """Base of every consumer: a subclass names a `dialect` and `commands`, and overrides `on_…` methods."""

    # Ten thousand idle sockets are nothing but what each of them keeps.
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

    #: What it is counted as.
    kind: ClassVar[str] = "other"
    #: What a client may ask.
    commands: ClassVar[Commands] = {}
    #: What a client is told, and what its address may say. A socket that names its frames is in the contract.
    frames: ClassVar[tuple[type[Event], ...]] = ()
    #: Where events are told in an envelope: the fields in front of them.
    envelope: ClassVar[type[msgspec.Struct] | None] = None
    parameters: ClassVar[type[msgspec.Struct] | None] = None

    hub: Hub
    #: What is spoken. A consumer may choose another value while the socket is open.
    dialect: Dialect
    #: What the route took from the path, and the parameters of the query.
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
        #: Reads the log for the subscriptions that are behind, while there are any.
        self._catching_up: CatchUp | None = None
        #: The commands under way; most sockets never have any.
        self._lanes: Lanes | None = None
        #: What runs it; None when that was stopped because its server does not say that the peer is gone.
        self._course = asyncio.current_task()
        #: How it ended: the close code and why, the first that was said.
        self._end: tuple[object, str] | None = None
        #: What runs beside the conversation; most sockets never have any.
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
                    if not self.outbox.is_closing:  # a socket that was refused or revoked is obeyed no more
                        await self._receive(message)
                self._end = self._end or (message.get("code"), "peer")
                if self._lanes is not None:
                    await self._lanes.done()
        except asyncio.CancelledError:
            # The server stops without having drained: say at least that it is a restart.
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
        """The events that are told in the `envelope`; asked when all apps are ready."""
        return ()

    def on_handshake(self) -> None:
        """Choose a dialect by what the handshake says, where the class has not named one."""

    async def on_open(self) -> None:
        """Find out who is there, and subscribe to what they may hear; a RealtimeError refuses the socket."""

    async def on_close(self) -> None:
        """Tidy up; runs once, at the end, for every socket."""

    def on_request(self, request: Request) -> Awaitable[None] | None:
        """Obey a request; a RealtimeError is its answer."""
        if request.flaw is not None:
            raise request.flaw
        return obey(self, self.commands, request)

    def on_access_lost(self, subscription: Subscription) -> None:
        """The right to listen was taken away, just after the last event that it covers."""

    def on_missed(self, subscription: Subscription) -> None:
        """Events that no log keeps may have passed a subscription by: it was behind, or there was no room."""

    def on_misled(self, subscription: Subscription, seq: int) -> None:
        """The log of a topic is not the one that this socket was told: other events follow at least `seq`.

        Nor may its rights be what they were. The client comes back, as after a restart; a consumer that can
        find out what holds now, on the open socket, does.
        """
        self.restart()

    def about(self) -> dict[str, Any]:
        """What a line of the log says about this socket, whoever's turn of the loop it is written in."""
        topics = sorted({topic for _, topic in self._subscriptions})
        return {"socket_id": self.socket_id, "socket_path": self.scope["path"], "topics": topics}

    # --- who it speaks for --------------------------------------------------------------------------

    def admit(self, identity: Identity | None, *, on_lost: OnLost | None = None) -> Access:
        """Let somebody in, or nobody in particular (None). Those who are the same share one access.

        `on_lost` is called with the access and the error when the identity holds no more; without it the
        socket is closed. Whoever admits also dismisses, or the socket does at its end.
        """
        access = next((each for each in self._accesses if each.covers(identity)), None)
        if access is None:
            access = Access(self, identity, on_lost)
            self._accesses.append(access)
        access.holders += 1
        return access

    def check_sockets_of(self, user_id: int) -> None:
        """Raise a RateLimitedError where the user has as many sockets open as LIMIT_SOCKETS_PER_USER."""
        audience = self.hub.audience(user_topic(user_id))
        if audience is None or conf.limit_sockets_per_user <= 0:
            return
        if len({each.socket for each in audience.subscriptions()}) >= conf.limit_sockets_per_user:
            raise errors.RateLimitedError("Too many open sockets for this user.", retry_after_ms=30_000)

    def dismiss(self, access: SubscribedAs) -> None:
        """One part of the connection needs this access no more; with the last one it ends."""
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
        """Listen to a topic: an ephemeral one, or a durable one from `position` on.

        `rendering` is how its events are told, and `access` for whom. `authorized_at` is the topic's head
        when the right to listen was read: an event after it may take the right away. `on_live` is called with
        the position once the subscription is live, in the same turn, before any later event; `on_misled`
        instead when the log has another event at `position`, or none. `name` is one by which events can leave
        this subscription out. A second subscription with the same id and topic replaces the first.
        """
        if (position is None) != (authorized_at is None):
            message = (
                f"A durable topic needs both position and authorized_at, an ephemeral one neither: {topic}"
            )
            raise TypeError(message)
        if access.is_over:  # it ended while something was awaited: nothing would end this
            raise errors.UnauthenticatedError("Whoever this was asked for may ask no more.")
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
        """All of them."""
        return tuple(self._subscriptions.values())

    def unsubscribe_all(self) -> None:
        """Listen to nothing. Before the close: what waits to be written with others' goes out with this."""
        for subscription in self.subscriptions():
            subscription.end()

    # --- what it says -------------------------------------------------------------------------------

    def push(self, frame: Payload | Event | dict[str, Any]) -> None:
        """Send a frame; never blocks. What is no finished frame is encoded as JSON."""
        self.outbox.push(frame if isinstance(frame, (str, bytes)) else events.encode(frame))

    def tell_error(self, error: RealtimeError, *, ref: Any = None) -> None:
        """Answer with an error, where the client understands them."""
        frame = self.dialect.error(error, ref)
        if frame is not None:
            self.outbox.push(frame)

    def refuse(self, error: RealtimeError, *, ref: Any = None) -> None:
        """Say why, and close; from now on the socket neither obeys nor hears anything."""
        self.unsubscribe_all()
        self.tell_error(error, ref=ref)
        self._close(self.dialect.close_code(error), error.code)

    def restart(self) -> None:
        """The server is stopping: tell the client to come back."""
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
        """Run something beside the conversation; it ends with the socket, and its failure is the socket's."""
        task = asyncio.get_running_loop().create_task(work)
        if self._tasks is None:
            self._tasks = set()
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    # --- what the hub asks of it --------------------------------------------------------------------

    def catch_up(self, subscription: Subscription) -> None:
        """Read the log for a subscription that is behind; one task does it for all of the socket."""
        if self._catching_up is None:
            self._catching_up = CatchUp(self)
            # In an empty context, so that log lines carry no other socket's ids: it may be anybody's turn.
            contextvars.Context().run(self.spawn, self._catch_up())
        self._catching_up.add(subscription)

    async def _catch_up(self) -> None:
        assert self._catching_up is not None
        try:
            await self._catching_up.run()
        finally:
            self._catching_up = None

    def forget(self, subscription: Subscription) -> None:
        """The subscription is over."""
        key = subscription.id, subscription.topic
        if self._subscriptions.get(key) is subscription:
            del self._subscriptions[key]

    # --- the course of a connection -----------------------------------------------------------------

    async def _open(self, send: Send) -> bool:
        """Whether there is a socket: one that is refused before accept is none."""
        # Decide before accepting: a page that is let in hears everything that is said from then on.
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
        """Obey a request, and answer it where it fails; what has to be awaited is returned."""
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
        # UTF-8 has at most 4 bytes a character: what is short enough need not be encoded to be measured.
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
            # Not forgiven at once: in a flood as well, the rate grants a frame every now and then.
            self._flood = max(0, self._flood - 1)
            return
        self._flood += 1
        if self._flood >= MAX_FLOOD:
            self.refuse(errors.RateLimitedError(retry_after_ms=30_000))
        raise errors.RateLimitedError(retry_after_ms=max(1, round(wait * 1000)))

    def _mistake(self, error: RealtimeError, ref: Any) -> None:
        """Answer a request that failed; a client that makes nothing but mistakes is sent away."""
        metrics.COMMANDS_REFUSED.add(error.code)
        self.tell_error(error, ref=ref)
        is_theirs = not error.retryable and error.status < 500
        if is_theirs and self._mistakes.wait(conf.limit_mistakes, time.monotonic()):
            self.refuse(errors.TooManyErrorsError())

    def _fail(self, failure: BaseException | None = None) -> None:
        """Our fault: the log says what, the client only that."""
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
            self._lanes = None  # it refers back
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
            logger.exception("A socket could not tidy up", extra=self.about())


def _parameters(scope: dict[str, Any]) -> dict[str, list[str]]:
    # Blank ones too: `?since=` is a position that nobody can resume from, not the wish to begin anew.
    return parse_qs(scope.get("query_string", b"").decode("latin1"), keep_blank_values=True)
