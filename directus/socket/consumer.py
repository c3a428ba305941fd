"""The consumer of `/websocket`: who a client is, what it watches, and whether it is still there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, ParamSpec, TypeVar

from directus import credentials
from directus.defaults import conf
from directus.errors import DirectusError, InvalidCredentialsError, InvalidPayloadError, OutOfTimeError
from directus.socket.asking import wish_of
from directus.socket.dialect import Asked, DirectusDialect, frame
from directus.socket.frames import encode
from directus.socket.items import obey as obey_items
from directus.socket.subscriptions import Watcher
from native.turns import turn_of
from native.waiting import WaitingRoom
from realtime import (
    Access,
    Connection,
    Identity,
    NotAllowedError,
    RateLimitedError,
    RealtimeError,
    Request,
    RestThrottle,
    Subscription,
    TokenExpiredError,
    UnauthenticatedError,
    counted_address,
)

P = ParamSpec("P")
T = TypeVar("T")

#: Sockets whose first frame has not come.
WAITING = WaitingRoom(lambda: conf.websockets_rest_auth_timeout)
#: Subscriptions of one socket: more than any page shows.
MAX_WATCHERS = 200


class AuthFailedError(DirectusError, UnauthenticatedError):
    """Authentication failed."""

    code, status = "AUTH_FAILED", 401


class AuthTimeoutError(DirectusError, UnauthenticatedError):
    """Authentication timed out."""

    code, status = "AUTH_TIMEOUT", 401


class DirectusConsumer(Connection):
    """The socket of one client."""

    __slots__ = (
        "_address",
        "_beat",
        "_has_spoken",
        "_is_alive",
        "_is_counted",
        "_must_renew",
        "_pinged_at",
        "access",
        "is_waiting",
        "watchers",
    )

    kind = "directus"
    dialect = DirectusDialect()

    #: How many sockets of the dialect are open in this process.
    count: ClassVar[int] = 0

    def on_handshake(self) -> None:
        self.watchers: dict[Watcher, None] = {}
        #: For whom it speaks; None until the handshake is done.
        self.access: Access | None = None
        #: Whether the first frame must be `auth`.
        self.is_waiting = False
        self._has_spoken = False
        self._is_counted = False
        #: Whether a frame came since the last ping, and when that was, by the monotonic clock.
        self._is_alive = True
        self._pinged_at = 0.0
        self._beat: asyncio.TimerHandle | None = None
        #: Ends the socket, unless the client authenticates in time.
        self._must_renew: asyncio.TimerHandle | None = None
        #: For whose limits it counts while nobody is signed in.
        self._address = counted_address(self.scope)

    # --- opening ------------------------------------------------------------------------------------

    async def on_open(self) -> None:
        if 0 < conf.websockets_rest_conn_limit <= DirectusConsumer.count:
            raise NotAllowedError("There are too many sockets.")
        DirectusConsumer.count += 1
        self._is_counted = True
        if (error := self.scope.get("auth_error")) is not None and self.scope["secrets"]:
            raise error
        token = self.scope["secrets"].get("access_token")
        if token is None:
            token = credentials.cookie(self.scope["headers"], credentials.SESSION_COOKIE)
        mode = conf.websockets_rest_auth
        if not token and (token is not None or mode == "strict"):
            raise InvalidCredentialsError
        if token is not None:
            self._speak_for(await self._identified(token))
        elif mode == "handshake":
            self.is_waiting = True
            WAITING.enter(self, self._address)
        else:
            self._speak_for(None)

    async def _identified(self, token: str) -> Identity:
        """The identity of a token that the handshake brings."""
        try:
            identity: Identity = await self.run(credentials.identify, token)
        except RealtimeError as error:
            raise error if _is_about_us(error) else InvalidCredentialsError from None
        self.check_sockets_of(identity.user.pk)
        return identity

    async def on_close(self) -> None:
        DirectusConsumer.count -= self._is_counted
        WAITING.leave(self, self._address)
        for timer in (self._beat, self._must_renew):
            if timer is not None:
                timer.cancel()
        watchers, self.watchers = self.watchers, {}
        for watcher in watchers:
            watcher.end()

    @property
    def there(self) -> Access:
        """The access of the socket."""
        assert self.access is not None
        return self.access

    @property
    def user_id(self) -> int | None:
        """For whom it speaks; None for somebody who is not signed in."""
        return None if self.access is None else self.access.user_id

    # --- frames -------------------------------------------------------------------------------------

    def on_request(self, request: Request) -> Awaitable[None] | None:
        self._is_alive = True
        asked: Asked = request.ref
        if self.is_waiting:
            if self._has_spoken:
                return None  # a pong, while the first frame is looked at: all others wait behind it
            self._has_spoken = True
            return self._first(request, asked)
        if request.flaw is not None:
            raise request.flaw
        obey = _FRAMES.get(str(request.name))
        if obey is None:
            raise InvalidPayloadError(f"there is no frame {str(request.name)[:40]!r}")
        return obey(self, request.fields, asked)

    def tell_error(self, error: RealtimeError, *, ref: Any = None) -> None:
        self._is_alive = True  # a frame that cannot be read is one all the same
        if not self.is_waiting:
            super().tell_error(error, ref=ref)
            return
        # Whatever went wrong, it ends the handshake, and is told in one way unless it is our own trouble.
        self._has_waited()
        failed = error if _is_about_us(error) else AuthFailedError("Authentication handshake failed.")
        self.refuse(failed, ref=Asked("auth"))

    async def _first(self, request: Request, asked: Asked) -> None:
        """Obey the first frame: it authenticates, or the socket is closed."""
        if request.flaw is not None or request.name != "auth":
            raise request.flaw or AuthFailedError
        identity, refresh_token = await self._authenticated(request.fields)
        self.check_sockets_of(identity.user.pk)
        if self.outbox.is_closing:
            return
        self._has_waited()
        self._speak_for(identity)
        self.push(frame("auth", asked.uid, status="ok", refresh_token=refresh_token))

    def _has_waited(self) -> None:
        self.is_waiting = False
        WAITING.leave(self, self._address)

    async def auth(self, fields: dict[str, Any], asked: Asked) -> None:
        """Go on as somebody else, or with another token; who fails goes on as nobody."""
        try:
            identity, refresh_token = await self._authenticated(fields)
            if identity.user.pk != self.user_id:
                self.check_sockets_of(identity.user.pk)
        except RealtimeError as error:
            if _is_about_us(error):
                raise  # nothing is known of the credential
            failed = AuthFailedError("Authentication failed.")
            self._become(None)
            if conf.websockets_rest_auth == "public":
                raise failed from None
            self.refuse(failed, ref=asked)
            return
        self._become(identity)
        self.push(frame("auth", asked.uid, status="ok", refresh_token=refresh_token))

    async def _authenticated(self, fields: dict[str, Any]) -> tuple[Identity, str | None]:
        """The identity of what an `auth` frame gives, and the refresh token that its client goes on with."""
        inner = fields.get("data")
        given = fields if not isinstance(inner, dict) else {**inner, **fields}
        token, refresh = given.get("access_token"), given.get("refresh_token")
        email, password = given.get("email"), given.get("password")
        if isinstance(token, str):
            identity: Identity = await self.run(credentials.identify, token)
            return identity, None
        if isinstance(refresh, str):
            pair = await self.run(credentials.refresh, refresh)
        elif isinstance(email, str) and isinstance(password, str):
            pair = await self.run(credentials.sign_in, email=email, password=password, source=self.scope)
        else:
            raise InvalidPayloadError("an access_token, a refresh_token, or email and password")
        return await self.run(credentials.identify, pair["access"]), pair["refresh"]

    async def subscribe_to(self, fields: dict[str, Any], asked: Asked) -> None:
        """Watch a collection; a subscription of the same uid is replaced."""
        wish = wish_of(fields)
        uid = None if asked.uid is None else str(asked.uid)
        before = None if uid is None else self._named(uid)
        if before is None and len(self.watchers) >= MAX_WATCHERS:
            raise RateLimitedError(f"This socket has {MAX_WATCHERS} subscriptions: end one first.")
        self._count()
        if before is not None:
            self.forget_watcher(before)
        watcher = Watcher(self, uid, wish)
        self.watchers[watcher] = None
        try:
            await watcher.begin()
        except BaseException:
            self.forget_watcher(watcher)
            raise

    def unsubscribe_from(self, _fields: dict[str, Any], asked: Asked) -> None:
        """End one subscription, or all where none is named."""
        uid = None if asked.uid is None else str(asked.uid)
        for watcher in [each for each in self.watchers if uid is None or each.uid == uid]:
            self.forget_watcher(watcher)
        self.push(frame("subscription", asked.uid, event="unsubscribe"))

    async def items(self, fields: dict[str, Any], asked: Asked) -> None:
        """Read or write rows, and answer them."""
        self._count()
        answer = await self.run(obey_items, self.user_id, fields)
        said: dict[str, Any] = {"type": "items", "data": answer.data}
        if answer.meta is not None:
            said["meta"] = answer.meta
        if asked.uid is not None:
            said["uid"] = asked.uid
        text = encode(said)
        await self.outbox.room_for(len(text))
        self.push(text)

    def ping(self, _fields: dict[str, Any], asked: Asked) -> None:
        """Answer a ping of the client."""
        self.push(frame("pong", asked.uid))

    def pong(self, _fields: dict[str, Any], _asked: Asked) -> None:
        """Take the answer to a ping; that it came is enough."""

    def _count(self) -> None:
        """Count a command that reads or writes rows, together with requests of REST."""
        RestThrottle.take(self.user_id or self._address)

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Await synchronous code that uses the database, in a turn of this user or address."""
        async with turn_of(self.user_id or self._address):
            return await super().run(function, *args, **kwargs)

    def _named(self, uid: str) -> Watcher | None:
        return next((each for each in self.watchers if each.uid == uid), None)

    def forget_watcher(self, watcher: Watcher) -> None:
        """End a subscription, and forget it."""
        self.watchers.pop(watcher, None)
        watcher.end()

    # --- for whom -----------------------------------------------------------------------------------

    def _speak_for(self, identity: Identity | None) -> None:
        self.access = self.admit(identity, on_lost=self._lost)
        if conf.websockets_heartbeat_enabled and self._beat is None:
            self._beat_later()

    def _become(self, identity: Identity | None) -> None:
        """Go on for somebody else; what is watched is judged by the new rights from now on."""
        if self._must_renew is not None and identity is not None:
            self._must_renew.cancel()
            self._must_renew = None
        before = self.access
        if before is not None and before.covers(identity):
            return
        self._speak_for(identity)
        for watcher in list(self.watchers):
            watcher.ask_rights_again()
        if before is not None:
            self.dismiss(before)

    def _lost(self, access: Access, error: RealtimeError) -> None:
        """The identity is no longer valid: nobody from now on, and so much time to say who else."""
        if access is not self.access:
            return
        self.tell_error(TokenExpiredError("Token expired."), ref=Asked("auth"))
        self._speak_for(None)
        for watcher in list(self.watchers):
            watcher.ask_rights_again()
        if self._must_renew is None:
            seconds = conf.websockets_rest_auth_timeout
            self._must_renew = asyncio.get_running_loop().call_later(seconds, self._too_late)

    def _too_late(self) -> None:
        self._must_renew = None
        late = AuthTimeoutError("Authentication timed out.")
        if conf.websockets_rest_auth == "public":
            self.tell_error(late, ref=Asked("auth"))
        else:
            self.refuse(late, ref=Asked("auth"))

    def on_access_lost(self, subscription: Subscription) -> None:
        if isinstance(subscription.id, Watcher):
            self.forget_watcher(subscription.id)

    def on_misled(self, subscription: Subscription, seq: int) -> None:
        if isinstance(subscription.id, Watcher):
            subscription.suspend()
            subscription.id.look_again(subscription, "unknown_position")
        else:
            super().on_misled(subscription, seq)

    # --- whether it is there ------------------------------------------------------------------------

    def _beat_later(self) -> None:
        period = conf.websockets_heartbeat_period
        self._beat = asyncio.get_running_loop().call_later(period, self._ping)

    def _ping(self) -> None:
        # Pongs of the protocol are a sign of life too. Only the server sees them, and frames that wait here.
        if not self._is_alive and self.outbox.heard_at() < self._pinged_at:
            self.refuse(OutOfTimeError("The client does not answer."))
            return
        self._is_alive, self._pinged_at = False, time.monotonic()
        self.push(frame("ping", None))
        self._beat_later()


def _is_about_us(error: RealtimeError) -> bool:
    """Whether an error says nothing of a credential: the server is busy, broken, or asked too often."""
    return error.status == 429 or error.status >= 500


#: What a client may say once it is known who it is.
_FRAMES: dict[str, Callable[[DirectusConsumer, dict[str, Any], Asked], Awaitable[None] | None]] = {
    "auth": DirectusConsumer.auth,
    "subscribe": DirectusConsumer.subscribe_to,
    "unsubscribe": DirectusConsumer.unsubscribe_from,
    "items": DirectusConsumer.items,
    "ping": DirectusConsumer.ping,
    "pong": DirectusConsumer.pong,
}
