"""JsonSocket: a connection of somebody who listens to topics; what every consumer of ours inherits.

It ends with its user's token, hears revocations on the user's own topic, and joins what it may hear. A
consumer adds `authorize`, its `commands` and, where it holds something of its own, `left`. There is no
channel of the layer per socket: the hub listens for all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import msgspec
import structlog

from realtime import errors
from realtime.conf import conf
from realtime.hub.rendering import NOTHING, Framing
from realtime.hub.subscription import Subscriber
from realtime.json_input import Ref
from realtime.log.positions import START, Position
from realtime.sockets.commands import Command, Commands
from realtime.sockets.connection import Connection
from realtime.topics import user_topic
from realtime.wire.batch import Batch


class Identity(Protocol):
    """Who is asking, as the core needs to know it; `accounts` makes them."""

    @property
    def user(self) -> Any: ...
    @property
    def session_id(self) -> str | None: ...
    @property
    def expires_at(self) -> float: ...
    @property
    def as_of(self) -> int:
        """The head of the user's own topic when this was true."""


class RefreshToken(msgspec.Struct):
    """Go on with a new access token of the same user."""

    token: Any = None  # whatever it is, `identify` has one answer to all that is no token


class JsonSocket(Connection):
    """Base of every socket of ours."""

    __slots__ = ("_ends_in", "_is_authenticated", "_subscribers", "identity", "user", "user_id")

    identity: Identity
    user: Any
    user_id: int

    def __init__(self) -> None:
        self._is_authenticated = False
        self._subscribers: dict[str, Subscriber] = {}
        #: The second in which its token ends; see `Expiries`.
        self._ends_in: int | None = None

    # --- for consumers ------------------------------------------------------------------------------

    async def authorize(self) -> None:
        """Join topics; raise a RealtimeError to refuse the socket."""

    async def left(self) -> None:
        """Tidy what the consumer holds; runs once, at the end, for every socket whose `authorize` began."""

    def detached(self, topic: str) -> None:
        """The right to listen to a topic was taken away, just after the last event it may see."""

    def was_misled(self, topic: str, seq: int) -> None:
        """The log of a topic is not the one that this socket was told: other events follow at least `seq`.

        Nor may its rights be what they were. The client comes back, as after a restart; who can find out what
        holds now on the open socket does.
        """
        self.restart()

    def framing_of(self, topic: str) -> Framing:
        """How this socket, with what its client understands, is told the events of a topic it joins."""
        return NOTHING

    def join(
        self,
        topic: str,
        *,
        position: Position | None = None,
        as_of: Position = START,
        then: Callable[[Position], None] | None = None,
    ) -> None:
        """Listen to a topic: an ephemeral one, or a durable one from `position` on.

        `as_of` is the head at which the right to listen was read. `then` is called with the position
        once the socket is live, in the same turn, before any later event; `was_misled` instead when the log
        has another event at `position`, or none. Who listens already listens anew.
        """
        if self._outbox.is_closing:
            return
        before = self._subscribers.get(topic)
        subscriber = self.hub.join(self, topic, self.framing_of(topic), position=position, as_of=as_of)
        self._subscribers[topic] = subscriber
        if before is not None:
            before.audience.remove(before)
        if subscriber not in subscriber.audience.behind:
            if then is not None:
                then(subscriber.place)
            return

        async def catch_up() -> None:
            await subscriber.catch_up()
            if then is not None and self._subscribers.get(topic) is subscriber:
                then(subscriber.place)

        self.spawn(catch_up())

    def leave(self, topic: str) -> None:
        """Stop listening to a topic."""
        subscriber = self._subscribers.pop(topic, None)
        if subscriber is not None:
            subscriber.audience.remove(subscriber)

    def forget(self, subscriber: Subscriber) -> None:
        """The audience lets go of this subscriber."""
        if self._subscribers.get(subscriber.audience.topic) is subscriber:
            del self._subscribers[subscriber.audience.topic]

    def push_batch(self, batch: Batch) -> bool:
        """Send frames that other sockets are sent as well; False when there is no room for them."""
        return self._outbox.push_batch(batch, self.user_id)

    def opt_in(self) -> None:
        """The client used what the guide does not know: from now on it is told such things as well."""
        if not self.v1:
            super().opt_in()
            for topic, subscriber in self._subscribers.items():
                subscriber.reframe(self.framing_of(topic))

    # --- what a connection asks of us ---------------------------------------------------------------

    async def let_in(self) -> None:
        """Who is there, and what they listen to."""
        self._authenticate()
        await self.authorize()

    def hear_no_more(self) -> None:
        """Leave all topics. Before the close: what waits to be written with others' goes out with this."""
        for topic in list(self._subscribers):
            self.leave(topic)

    async def gone(self) -> None:
        """The end, whatever it was."""
        self._forget_expiry()
        if self._is_authenticated:
            await self.left()

    def about(self) -> dict[str, Any]:
        """With whom it is about, and what they heard."""
        whom = {"user_id": getattr(self, "user_id", None), "topics": list(self._subscribers)}
        return super().about() | whom

    # --- whose it is, and until when ----------------------------------------------------------------

    def _authenticate(self) -> None:
        if (error := self.scope.get("auth_error")) is not None:
            raise error
        identity = self.scope.get("identity")
        if identity is None:
            raise errors.UnauthenticatedError
        self._end_with(identity)
        self.user, self.user_id = identity.user, identity.user.pk
        structlog.contextvars.bind_contextvars(user_id=self.user_id)

        own = user_topic(self.user_id)
        audience = self.hub.audience(own)
        if audience and 0 < conf.limit_sockets_per_user <= len({s.socket for s in audience.subscribers()}):
            raise errors.RateLimitedError("Too many open sockets for this user.", retry_after_ms=30_000)
        # Revocations arrive on the user's own topic; from the position at which the token was checked.
        checked = Position(identity.as_of)
        self.join(own, position=checked, as_of=checked)
        self._is_authenticated = True

    def _end_with(self, identity: Identity) -> None:
        # Counted on the loop's monotonic clock: a wall clock that jumps ends nothing early.
        seconds = identity.expires_at - time.time()
        if seconds <= 0:
            raise errors.TokenExpiredError
        self._forget_expiry()
        self._ends_in = self.hub.expiries.add(self, seconds=seconds)
        self.identity = identity

    def _forget_expiry(self) -> None:
        if self._ends_in is not None:
            self.hub.expiries.forget(self, self._ends_in)
            self._ends_in = None

    def expire(self) -> None:
        """The token has ended, and nobody refreshed it in band."""
        self.refuse(errors.TokenExpiredError())

    async def _auth_refresh(self, frame: RefreshToken, ref: Ref) -> None:
        self.opt_in()
        await self._refresh(frame.token)
        self.push({"type": "auth.refreshed", "ref": ref, "expires_at": int(self.identity.expires_at)})

    async def _refresh(self, token: object) -> None:
        while True:
            identity = await self.run(self.scope["identify"], token)
            if identity.user.pk != self.user_id:  # before its position is compared: it is in another topic
                raise errors.UnauthenticatedError("The new token is another user's.")
            own = self._subscribers.get(user_topic(self.user_id))
            # A revocation that was told since that answer spared this socket for its old session.
            if own is None or own.told_up_to <= identity.as_of:
                return self._end_with(identity)

    #: What a client may ask; a consumer adds its own.
    commands: ClassVar[Commands] = {
        **Connection.commands,
        "auth.refresh": Command(RefreshToken, _auth_refresh),
    }
