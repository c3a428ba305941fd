"""GuideConsumer, the base class of the consumers of the guide's sockets.

A socket speaks for one user: the one whose token opened it, and it closes when that token ends. A subclass
adds `authorize`, its `commands`, its renderings and, where it holds something of its own, `left`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, ClassVar

import msgspec
import structlog
from msgspec import Meta

from guide_dialect.dialect import GuideDialect, opts_in
from realtime import (
    Access,
    Command,
    Commands,
    Connection,
    ErrorTold,
    Event,
    Identity,
    Moment,
    Position,
    PositionText,
    Ref,
    Rendering,
    Request,
    Subscription,
    UnixTime,
    errors,
    events,
)


class Ping(msgspec.Struct):
    """Ask whether the server is there."""


class Pong(Event, tag="pong", frozen=True):
    """The answer to `ping`."""

    ref: Ref
    server_time: Moment


class RefreshToken(msgspec.Struct):
    """Go on with a new access token of the same user."""

    # Any JSON value: `identify` answers everything that is no token in the same way.
    token: Annotated[Any, Meta(extra_json_schema={"type": "string", "examples": ["eyJhbGciOi…"]})] = None


class AuthRefreshed(Event, tag="auth.refreshed", frozen=True):
    """The socket goes on with the new token, until `expires_at`."""

    ref: Ref
    expires_at: UnixTime


#: The frames that every socket of the guide may send; a consumer includes them in its `frames`.
COMMON_FRAMES = (ErrorTold, Pong, AuthRefreshed)


class Parameters(msgspec.Struct):
    """The query parameters of the guide's sockets, besides credentials."""

    v: Annotated[
        str | None,
        Meta(description="`1`: tell me more than the guide knows.", extra_json_schema={"enum": ["1"]}),
    ] = None


class ResumingParameters(Parameters):
    """The query parameters of sockets whose clients can resume."""

    since: Annotated[PositionText | None, Meta(description="Go on after this position.")] = None


class GuideConsumer(Connection):
    """Base class of the consumers of the guide's three sockets."""

    __slots__ = ("access", "dialect", "user_id")

    #: The dialect of a client that has not opted in.
    guide: ClassVar[GuideDialect] = GuideDialect()
    #: Those of `frames` that such a client may be sent.
    guide_frames: ClassVar[tuple[type[Event], ...]] = ()

    #: None until the socket is authenticated.
    access: Access | None
    user_id: int

    dialect: GuideDialect

    def __init__(self) -> None:
        self.access = None

    # --- for consumers ------------------------------------------------------------------------------

    async def authorize(self) -> None:
        """Subscribe to topics; raise a RealtimeError to refuse the socket."""
        raise NotImplementedError(f"{type(self).__name__}.authorize must say who may listen, and to what")

    async def left(self) -> None:
        """Release what the consumer holds; runs once, at the end of each socket whose `authorize` began."""

    def rendering_of(self, topic: str) -> Rendering:
        """The rendering of a topic that this socket subscribes to, by what its client understands."""
        raise NotImplementedError(f"{type(self).__name__}.rendering_of must choose how {topic} is told")

    @property
    def v1(self) -> bool:
        """Whether the client opted in to frames that the guide does not know."""
        return self.dialect.is_v1

    @property
    def identity(self) -> Identity:
        """The identity that the socket speaks for."""
        assert self.access is not None
        assert self.access.identity is not None
        return self.access.identity

    @property
    def user(self) -> Any:
        """The user, as the last token found them, updated by later events."""
        return self.identity.user

    def join(
        self,
        topic: str,
        *,
        position: Position | None = None,
        authorized_at: Position | None = None,
        on_live: Callable[[Position], None] | None = None,
    ) -> Subscription:
        """Subscribe to a topic, rendered by `rendering_of`; a durable topic is read from `position` on."""
        assert self.access is not None
        return self.subscribe(
            topic,
            self.rendering_of(topic),
            access=self.access,
            position=position,
            authorized_at=authorized_at,
            on_live=on_live,
        )

    def opt_in(self) -> None:
        """Note that the client used something beyond the guide: from now on it is sent everything."""
        if not self.v1:
            self.dialect = self.dialect.opted_in()
            for subscription in self.subscriptions():
                if subscription.id is not self.access:
                    subscription.render_as(self.rendering_of(subscription.topic))

    # --- what a connection asks of it ---------------------------------------------------------------

    def on_handshake(self) -> None:
        is_v1 = opts_in(self.query, self.scope.get("subprotocols", ()))
        self.dialect = self.guide.opted_in() if is_v1 else self.guide

    async def on_open(self) -> None:
        self._authenticate()
        await self.authorize()

    async def on_close(self) -> None:
        if self.access is not None:
            await self.left()

    def on_request(self, request: Request) -> Awaitable[None] | None:
        if request.ref is not None or request.flaw is not None:
            self.opt_in()
        return super().on_request(request)

    def about(self) -> dict[str, Any]:
        return super().about() | {"user_id": getattr(self, "user_id", None)}

    # --- whose it is, and until when ----------------------------------------------------------------

    def _authenticate(self) -> None:
        if (error := self.scope.get("auth_error")) is not None:
            raise error
        identity = self.scope.get("identity")
        if identity is None:
            raise errors.UnauthenticatedError
        self.user_id = identity.user.pk
        structlog.contextvars.bind_contextvars(user_id=self.user_id)
        self.check_sockets_of(self.user_id)
        self.access = self.admit(identity)

    async def _auth_refresh(self, frame: RefreshToken, ref: Any) -> None:
        self.opt_in()
        assert self.access is not None
        await self.access.renew_with(partial(self.scope["identify"], frame.token))
        self.push(AuthRefreshed(ref=ref, expires_at=int(self.identity.expires_at)))

    def _ping(self, _frame: Ping, ref: Any) -> None:
        self.opt_in()
        self.push(Pong(ref=ref, server_time=events.now()))

    #: The commands of every socket; a consumer adds its own.
    commands: ClassVar[Commands] = {
        "ping": Command(Ping, _ping, (Pong,)),
        "auth.refresh": Command(RefreshToken, _auth_refresh, (AuthRefreshed,)),
    }
    parameters = Parameters
