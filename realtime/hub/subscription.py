"""A subscription: one topic for one socket, under an id that the socket chose."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Hashable
from typing import Any, Protocol

from realtime.errors import RealtimeError
from realtime.hub.rendering import Rendering, chosen
from realtime.log.positions import Position
from realtime.wire.outbox import Outbox

#: The id of a subscription that is the socket's only one of its topic.
ONLY = ""


class Socket(Protocol):
    """The part of a connection that the hub uses."""

    @property
    def outbox(self) -> Outbox:
        """The outbox of the socket."""

    def catch_up(self, subscription: Subscription) -> None:
        """Read the log for a subscription that is behind, beside everything else."""

    def forget(self, subscription: Subscription) -> None:
        """Forget a subscription that has ended."""

    def on_access_lost(self, subscription: Subscription) -> None:
        """Called when the user may no longer listen, just after the last event that they may read."""

    def on_missed(self, subscription: Subscription) -> None:
        """Called when the subscription may have missed events that no log keeps."""

    def on_misled(self, subscription: Subscription, seq: int) -> None:
        """Called when the log has other events from `seq` on than the subscription was sent."""

    def restart(self) -> None:
        """Tell the client that the server is stopping, so that it comes back."""

    def __hash__(self) -> int: ...


class Access(Protocol):
    """The part of an access that the hub uses."""

    @property
    def user_id(self) -> int | None: ...
    @property
    def who(self) -> tuple[Hashable, ...]:
        """The names by which an event can leave out the subscriptions of this access."""

    @property
    def is_suspended(self) -> bool: ...
    @property
    def user(self) -> Any: ...
    @property
    def session_id(self) -> str | None: ...
    def lose(self, error: RealtimeError) -> None:
        """End the access, because its identity is no longer valid."""


class ItsAudience(Protocol):
    """The part of an audience that its subscriptions use; `Audience` documents each method."""

    topic: str
    position: int | None
    timeline: int
    behind: dict[Subscription, None]

    @property
    def place(self) -> Position: ...
    @property
    def reading(self) -> asyncio.Task[None] | None: ...

    async def reached(self, seq: int) -> None: ...
    def expect(self, seq: int) -> None: ...
    def compare(self, place: Position) -> None: ...
    def write_pending(self) -> None: ...
    def make_live(self, subscription: Subscription) -> None: ...
    def render_anew(self, subscription: Subscription, rendering: Rendering) -> None: ...
    def set_aside(self, subscription: Subscription) -> None: ...
    def remove(self, subscription: Subscription) -> None: ...


class Subscription:
    """One topic for one socket: live, or behind its audience and catching up."""

    __slots__ = (
        "_is_set_aside",
        "_waiters",
        "access",
        "audience",
        "authorized_at",
        "id",
        "mark",
        "on_live",
        "position",
        "rendering",
        "socket",
        "who",
    )

    # Set by the hub before the subscription is used.
    audience: ItsAudience

    def __init__(
        self,
        socket: Socket,
        access: Access,
        rendering: Rendering,
        *,
        id: Hashable = ONLY,  # noqa: A002 - the word of every dialect
        position: Position,
        authorized_at: int,
        name: Hashable = None,
        on_live: Callable[[Position], None] | None = None,
    ) -> None:
        self.socket = socket
        self.access = access
        self.rendering = chosen(rendering)
        self.id = id
        #: While it is behind: the seq of the last event it was sent, and that event's mark, empty if unknown.
        #: Live subscriptions share their audience's position.
        self.position, self.mark = position
        #: The seq at which the right to listen was read: only a later event can take the right away.
        self.authorized_at = authorized_at
        #: The names by which a frame can leave it out: its user's id, and its own name if it has one.
        self.who: Collection[Hashable] = access.who if name is None else (*access.who, name)
        #: Called once, with the position, in the turn in which it becomes live.
        self.on_live = on_live
        self._waiters: list[asyncio.Future[None]] | None = None
        self._is_set_aside = False

    @property
    def topic(self) -> str:
        return self.audience.topic

    @property
    def user_id(self) -> int | None:
        return self.access.user_id

    @property
    def is_behind(self) -> bool:
        """Whether it reads the log, and receives no live event."""
        return self in self.audience.behind

    @property
    def is_suspended(self) -> bool:
        """Whether it is paused: by itself, or with all of its access."""
        return self._is_set_aside or self.access.is_suspended

    @property
    def place(self) -> Position:
        """The position of the last event it was sent, live or behind."""
        return Position(self.position, self.mark) if self.is_behind else self.audience.place

    @property
    def seq(self) -> int:
        """The seq of the last event it was sent, live or behind."""
        return self.place.seq

    async def told(self, seq: int) -> Position:
        """Wait until it was sent everything up to `seq`, as far as the log goes; its position then."""
        while True:
            if not self.is_behind:
                await self.audience.reached(seq)
                self.audience.write_pending()  # pending events count as sent only once they are written
                if not self.is_behind:
                    return self.place
            waiter = asyncio.get_running_loop().create_future()
            self._waiters = [*(self._waiters or ()), waiter]
            await waiter

    def render_as(self, rendering: Rendering) -> None:
        """Give it another rendering for the events from now on."""
        if rendering == self.rendering:
            return
        if self.is_behind:
            self.rendering = chosen(rendering)
        else:
            self.audience.render_anew(self, chosen(rendering))

    def suspend(self) -> None:
        """Pause it while its right is checked again; ephemeral events pass it by."""
        self._is_set_aside = True
        self.audience.set_aside(self)

    def resume(self) -> None:
        """Let it go on from where it was."""
        self._is_set_aside = False
        if self.is_behind:
            self.socket.catch_up(self)

    def lose_access(self) -> None:
        """End it because its user may no longer listen; an action calls this at the event that says so."""
        self.end()
        self.socket.on_access_lost(self)

    def end(self) -> None:
        """End it: it receives nothing more."""
        self.socket.forget(self)
        self.audience.remove(self)
        self.became_live()  # nobody waits for an ended one

    # --- what the hub tells it ----------------------------------------------------------------------

    def became_live(self) -> None:
        """It is live, or has ended: let its waiters go on."""
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def announce_live(self) -> None:
        """It is live: call `on_live`, once."""
        self.became_live()
        on_live, self.on_live = self.on_live, None
        if on_live is not None:
            on_live(self.place)

    def caught_up(self) -> None:
        """It is live after having been behind, and so may have missed events that no log keeps."""
        self.announce_live()
        self.socket.on_missed(self)

    def gave_way(self) -> None:
        """It had no room for events that no log keeps, which are lost."""
        self.socket.on_missed(self)

    def misled(self, position: Position) -> None:
        """What it was sent after `position`, and maybe before, is not in the log."""
        self.position, self.mark = position
        self.socket.on_misled(self, position.seq)

    def fell_behind(self, position: Position) -> None:
        """It had no room for the events after `position`: read them from the log once there is room."""
        self.position, self.mark = position
        self.socket.catch_up(self)

    def __repr__(self) -> str:
        return f"<Subscription {self.id!r} to {self.audience.topic}: {self.place}>"
