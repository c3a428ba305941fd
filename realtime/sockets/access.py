"""An access: the identity that a connection, or a part of it, speaks for, and what happens at its end."""

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
    """The identity that a credential stands for, as far as the core needs it; `accounts` makes them."""

    @property
    def user(self) -> Any: ...
    @property
    def session_id(self) -> str | None: ...
    @property
    def expires_at(self) -> float: ...
    @property
    def authorized_at(self) -> int:
        """The head of the user's own topic when the identity was checked."""


#: Called with the access and the error that ends it.
OnLost = Callable[["Access", RealtimeError], None]


class Line(Protocol):
    """The part of a connection that its accesses use."""

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
    """An identity on a connection, or none. It ends with its token, or when a revocation arrives.

    Then `on_lost` is called, which may give the access's subscriptions to another one; those that it leaves
    end. Without `on_lost`, the socket is closed with the error.
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
        #: The second in which the token ends.
        self._ends_in: int | None = None
        #: The subscription to the user's own topic, on which revocations arrive.
        self._revocations: Subscription | None = None
        #: The number of parts of the connection that use the access.
        self.holders = 0
        self.identity = identity
        #: Whether the access is being checked again: meanwhile its subscriptions receive nothing, and then go
        #: on.
        self.is_suspended = False
        #: Whether the access has ended.
        self.is_over = False
        #: The names by which an event can skip its subscriptions.
        self.who: tuple[Hashable, ...] = () if identity is None else (identity.user.pk,)
        if identity is not None:
            self._end_with(identity)
            # Revocations are read from the position at which the token was checked.
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
        """The id of the user; None for an anonymous access."""
        return None if self.identity is None else self.identity.user.pk

    @property
    def user(self) -> Any:
        """The user, as last looked up; None for an anonymous access."""
        return None if self.identity is None else self.identity.user

    @property
    def session_id(self) -> str | None:
        """The session of the token, if it has one."""
        return None if self.identity is None else self.identity.session_id

    def covers(self, identity: Identity | None) -> bool:
        """Whether an identity is the access's own: the same user and session, until the same time."""
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
            if identity.user.pk != self.user_id:  # first: another user's position is of another topic
                raise errors.UnauthenticatedError("The new token belongs to another user.")
            # A revocation that arrived since the look-up was not applied to the new session: look up again.
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
        """End the access, because its identity is no longer valid."""
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
        """End the access, because its token has expired."""
        self._ends_in = None
        self.lose(errors.TokenExpiredError())

    def suspend(self) -> None:
        """Pause its subscriptions while the access is checked again; ephemeral events pass them by."""
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
        """End the access and its subscriptions, once no part of the connection uses it."""
        self._forget_end()
        for subscription in self._connection.subscriptions():
            if subscription.access is self:
                subscription.end()
        # Drop the references, so that an ended access is freed without the garbage collector.
        self._revocations = self._on_lost = None
        self.is_over = True
        del self._connection

    def subscriptions(self) -> list[Subscription]:
        """The subscriptions of the access, without the one for revocations."""
        own = self._connection.subscriptions()
        return [each for each in own if each.access is self and each is not self._revocations]

    def _end_with(self, identity: Identity) -> None:
        # Counted on the loop's monotonic clock: a jump of the wall clock ends nothing early.
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
