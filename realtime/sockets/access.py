"""An access: who a connection, or a part of it, speaks for, until when, and what then happens."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Hashable
from typing import Any, Protocol

from realtime import errors
from realtime.errors import RealtimeError
from realtime.hub.hub import Hub
from realtime.hub.rendering import NOTHING, Rendering
from realtime.hub.subscription import Subscription
from realtime.log.positions import Position
from realtime.topics import user_topic


class Identity(Protocol):
    """Who is asking, as the core needs to know it; `accounts` makes them."""

    @property
    def user(self) -> Any: ...
    @property
    def session_id(self) -> str | None: ...
    @property
    def expires_at(self) -> float: ...
    @property
    def authorized_at(self) -> int:
        """The head of the user's own topic when this was true."""


#: Called with the access and the error; the access is over after it.
OnLost = Callable[["Access", RealtimeError], None]


class Line(Protocol):
    """A connection, as far as its accesses know it."""

    hub: Hub
    socket_id: str

    def subscribe(
        self,
        topic: str,
        rendering: Rendering,
        *,
        access: Access,
        id: Hashable,  # noqa: A002 - the word of every dialect
        position: Position,
        authorized_at: Position,
    ) -> Subscription: ...
    def subscriptions(self) -> Collection[Subscription]: ...
    def catch_up(self, subscription: Subscription) -> None: ...
    def refuse(self, error: RealtimeError) -> None: ...
    def drop(self, access: Access) -> None: ...


class Access:
    """An identity on a connection, or nobody's. It ends with its token, or when a revocation arrives.

    `on_lost` says what then happens, and may give its subscriptions to another access; those that it keeps
    end with it. Unless that is given, the socket is closed with the error.
    """

    __slots__ = (
        "_connection",
        "_ends_in",
        "_on_lost",
        "_revocations",
        "holders",
        "identity",
        "is_over",
        "is_suspended",
        "who",
    )

    def __init__(self, connection: Line, identity: Identity | None, on_lost: OnLost | None = None) -> None:
        self._connection = connection
        self._on_lost = on_lost
        #: The second in which its token ends.
        self._ends_in: int | None = None
        #: What hears of the end of its session, on the user's own topic.
        self._revocations: Subscription | None = None
        #: How many parts of the connection use it.
        self.holders = 0
        self.identity = identity
        #: Whether it is being checked again: its subscriptions are told nothing, and go on where they were.
        self.is_suspended = False
        #: Whether nobody uses it any more.
        self.is_over = False
        #: The names by which an event can leave out its subscriptions.
        self.who: tuple[Hashable, ...] = () if identity is None else (identity.user.pk,)
        if identity is not None:
            self._end_with(identity)
            # Revocations arrive on the user's own topic; from the position at which the token was checked.
            checked = Position(identity.authorized_at)
            self._revocations = connection.subscribe(
                user_topic(identity.user.pk),
                NOTHING,
                id=self,
                access=self,
                position=checked,
                authorized_at=checked,
            )

    @property
    def user_id(self) -> int | None:
        """Whose it is; None where nobody has signed in."""
        return None if self.identity is None else self.identity.user.pk

    @property
    def user(self) -> Any:
        """The user, as they were when they were last looked up; None where nobody has signed in."""
        return None if self.identity is None else self.identity.user

    @property
    def session_id(self) -> str | None:
        """The session that the token belongs to, if it belongs to one."""
        return None if self.identity is None else self.identity.session_id

    def covers(self, identity: Identity | None) -> bool:
        """Whether it is the same: the same user and session, for the same time."""
        own = self.identity
        if own is None or identity is None:
            return own is identity
        return (own.user.pk, own.session_id, own.expires_at) == (
            identity.user.pk,
            identity.session_id,
            identity.expires_at,
        )

    async def renew_with(self, look_up: Callable[[], Awaitable[Identity]]) -> None:
        """Go on with a new token of the same user."""
        while not self.is_over:
            identity = await look_up()
            if identity.user.pk != self.user_id:  # before its position is compared: it is in another topic
                raise errors.UnauthenticatedError("The new token belongs to another user.")
            # A revocation that was told since that answer spared this access for its old session.
            if not self.has_heard_more_than(identity):
                self.renew(identity)
                return

    def has_heard_more_than(self, identity: Identity) -> bool:
        """Whether a revocation may have arrived since this identity of the same user was looked up."""
        revocations = self._revocations
        return revocations is not None and revocations.seq > identity.authorized_at

    def renew(self, identity: Identity) -> None:
        """Go on with a new token of the same user."""
        if identity.user.pk != self.user_id:
            raise errors.UnauthenticatedError("The new token belongs to another user.")
        self._end_with(identity)

    def lose(self, error: RealtimeError) -> None:
        """The identity holds no more, whoever of the connection uses it."""
        if self.is_over:
            return
        connection = self._connection
        if self._on_lost is None:
            connection.refuse(error)
            return
        try:
            self._on_lost(self, error)
        finally:
            connection.drop(self)

    def expire(self) -> None:
        """The token has ended, and was not renewed."""
        self._ends_in = None
        self.lose(errors.TokenExpiredError())

    def suspend(self) -> None:
        """Tell its subscriptions nothing while it is checked again: what is ephemeral passes them by."""
        self.is_suspended = True
        for subscription in self.subscriptions():
            subscription.audience.set_aside(subscription)

    def resume(self) -> None:
        """Let its subscriptions go on from where they were."""
        self.is_suspended = False
        for subscription in self.subscriptions():
            if subscription.is_behind:
                self._connection.catch_up(subscription)

    def end(self) -> None:
        """Nobody uses it any more: its subscriptions end with it."""
        self._forget_end()
        for subscription in self._connection.subscriptions():
            if subscription.access is self:
                subscription.end()
        # Whoever keeps it keeps nothing else alive: what ends falls apart without the garbage collector.
        self._revocations = self._on_lost = None
        self.is_over = True
        del self._connection

    def subscriptions(self) -> list[Subscription]:
        """What is told to it: all but the one that hears of its end."""
        own = self._connection.subscriptions()
        return [each for each in own if each.access is self and each is not self._revocations]

    def _end_with(self, identity: Identity) -> None:
        # Counted on the loop's monotonic clock: a wall clock that jumps ends nothing early.
        seconds = identity.expires_at - time.time()
        if seconds <= 0:
            raise errors.TokenExpiredError
        self._forget_end()
        self._ends_in = self._connection.hub.expiries.add(self, seconds=seconds)
        self.identity = identity

    def _forget_end(self) -> None:
        if self._ends_in is not None:
            self._connection.hub.expiries.forget(self, self._ends_in)
            self._ends_in = None

    def __repr__(self) -> str:
        where = "that is over" if self.is_over else f"on socket {self._connection.socket_id}"
        return f"<Access of user {self.user_id} {where}>"
