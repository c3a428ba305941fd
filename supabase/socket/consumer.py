"""The consumer of `/realtime/v1/websocket`: one client with its channels.

The socket is opened by the `apikey`; each channel then has an identity of its own, that of its token.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from changes.filters import QueryError
from realtime import (
    Access,
    Connection,
    Identity,
    RealtimeError,
    Request,
    Subscription,
    TokenExpiredError,
    UnauthenticatedError,
)
from supabase import broadcasts
from supabase.changes import Bindings, bound
from supabase.errors import (
    ChannelError,
    NotYoursError,
    SubscriptionError,
    TooManyChannelsError,
    TopicNameRequiredError,
    reason_of,
)
from supabase.keys import is_anon_key
from supabase.presence import MAX_META_BYTES, RESERVED, PresenceFrames
from supabase.rules import EVERYTHING, Allowed, allowed
from supabase.socket.channels import Channel
from supabase.socket.dialect import SupabaseDialect
from supabase.socket.frames import PHOENIX, PREFIX, VERSIONS, Push, Version, broadcast_in, text_of
from supabase.socket.joining import Wish, wish_of

#: Channels of one socket: more than any page shows.
MAX_CHANNELS = 100
#: Characters of a presence key.
MAX_KEY = 255
#: What clients put in front of keys that are no JWT.
_OPAQUE = "sb_"
#: Bytes of a broadcast that are told; a frame may be longer by its other parts.
MAX_BROADCAST_BYTES = 256 * 1024


class UnsupportedVersionError(RealtimeError):
    """This version of the protocol is not spoken here: 1.0.0 and 2.0.0 are."""

    code, status = "unsupported_version", 400


class SupabaseConsumer(Connection):
    """The socket of one client."""

    __slots__ = ("_identity", "channels", "version")

    kind = "supabase"

    version: Version
    dialect: SupabaseDialect

    def on_handshake(self) -> None:
        #: The channels that the client has joined, by topic.
        self.channels: dict[str, Channel] = {}
        #: Who opened the socket; None for the anon key.
        self._identity: Identity | None = None
        self.version = VERSIONS.get(self.query.get("vsn", "1.0.0"), VERSIONS["1.0.0"])
        self.dialect = SupabaseDialect(self.version)

    async def on_open(self) -> None:
        if self.query.get("vsn", "1.0.0") not in VERSIONS:
            raise UnsupportedVersionError
        if (error := self.scope["auth_error"]) is not None:  # more than one key, or too many parameters
            raise error
        key = _header(self.scope, b"x-api-key") or self.scope["secrets"].get("apikey")
        if key is None:
            raise UnauthenticatedError("Missing API key")
        self._identity = await self._identity_of(key)
        if self._identity is not None:
            self.check_sockets_of(self._identity.user.pk)

    async def on_close(self) -> None:
        channels, self.channels = self.channels, {}
        for channel in channels.values():
            channel.end()

    # --- what clients push --------------------------------------------------------------------------

    def on_request(self, request: Request) -> Awaitable[None] | None:
        push: Push = request.fields
        if push.topic == PHOENIX:
            if push.event == "heartbeat":
                self.push(self.dialect.reply(push, "ok"))
            return None
        if push.event == "phx_join":
            return self._join(push)
        channel = self.channels.get(push.topic)
        if channel is None:
            status, response = ("ok", "{}") if push.event == "phx_leave" else ("error", _UNMATCHED)
            self.push(self.dialect.reply(push, status, response))
            return None
        if push.join_ref is not None and push.join_ref != channel.join_ref:
            return None  # of a membership that is over
        obey = _EVENTS.get(push.event)
        return None if obey is None else obey(self, channel, push)

    async def _join(self, push: Push) -> None:
        wish = wish_of(push.payload)
        name = push.topic.removeprefix(PREFIX)
        if not push.topic.startswith(PREFIX) or not name:
            raise TopicNameRequiredError("You must provide a topic name")
        if wish.presence_key == RESERVED or len(wish.presence_key) > MAX_KEY:
            raise ChannelError(f"A presence key is not {RESERVED!r}, and has at most {MAX_KEY} characters")
        if len(self.channels) >= MAX_CHANNELS and push.topic not in self.channels:
            raise TooManyChannelsError("Too many channels")
        identity = await self._identity_in(wish.token)
        rights = await self._rights(wish, identity, name)
        bindings, flaw = await self._bindings(wish, identity)
        channel = Channel(self, push, wish, self.admit(identity, on_lost=self._lost), rights)
        self._replace(self.channels.get(push.topic))
        self.channels[push.topic] = channel
        # The subscriptions are live from positions that were read before: what is written after this is told.
        echoed = [{**asked, "id": number} for number, asked in enumerate(wish.changes, 1)]
        self.push(self.dialect.reply(push, "ok", text_of({"postgres_changes": echoed})))
        if wish.wants_replication_told:
            channel.system("ok", "Replication connection established")
        if wish.changes:
            status, said = ("ok", "Subscribed to PostgreSQL") if flaw is None else ("error", flaw.message)
            channel.system(status, said, extension="postgres_changes")
        channel.listen()
        channel.watch(bindings)
        if wish.shows_presence:
            channel.show_presence()

    async def _bindings(
        self, wish: Wish, identity: Identity | None
    ) -> tuple[list[Bindings], RealtimeError | None]:
        """The subscriptions to changes, all of them or none, and what is wrong with one."""
        if not wish.changes:
            return [], None
        try:
            return await self.run(bound, _user_id(identity), wish.changes), None
        except QueryError as error:
            if wish.waits:
                raise SubscriptionError(error.message) from None
            return [], error

    async def _rights(self, wish: Wish, identity: Identity | None, name: str) -> Allowed:
        if not wish.is_private:
            return EVERYTHING
        rights = await self.run(allowed, None if identity is None else identity.user, name)
        if not rights.may_join:
            raise NotYoursError(f"You do not have permissions to read from this Channel topic: {name}")
        return rights

    def leave(self, channel: Channel, push: Push) -> None:
        """End a membership, because its client leaves."""
        self.end(channel)
        self.push(self.dialect.reply(push, "ok"))
        self.push(channel.over())

    def broadcast(self, channel: Channel, push: Push) -> None:
        """Tell the other members."""
        message = push.message or broadcast_in(push.payload)
        if len(bytes(message.payload)) > MAX_BROADCAST_BYTES:
            self._answer(channel, push, "error", _TOO_LARGE)
        elif not channel.allowed.write_broadcasts:
            self._answer(channel, push, "error", _UNAUTHORIZED)
        else:
            but = "" if channel.wish.echoes else channel.member
            private = channel.wish.is_private
            broadcasts.tell(channel.name, channel.topic, message, private=private, but=but)
            self._answer(channel, push, "ok", "{}")

    def _answer(self, channel: Channel, push: Push, status: str, response: str) -> None:
        if channel.wish.acknowledges:
            self.push(self.dialect.reply(push, status, response))

    def presence(self, channel: Channel, push: Push) -> None:
        """Let a member say that it is there, or is no longer."""
        said = push.payload if isinstance(push.payload, dict) else {}
        event = str(said.get("event", "")).lower()
        if event == "untrack":
            channel.untrack()
        elif event != "track":
            raise ChannelError(f"Presence event {event[:40]!r} is not known: track and untrack are")
        elif not channel.allowed.write_presence:
            raise ChannelError("You do not have permissions to write presence in this Channel")
        elif not isinstance(meta := said.get("payload", {}), dict):
            raise ChannelError("Presence track payload must be a map")
        elif len(text := text_of(meta)) > MAX_META_BYTES:
            raise ChannelError("Track message size exceeded")
        else:
            channel.track(msgspec.Raw(text.encode()))
        self.push(self.dialect.reply(push, "ok"))

    async def take_token(self, channel: Channel, push: Push) -> None:
        """Go on with another token; one that is not valid ends the channel."""
        given = push.payload.get("access_token") if isinstance(push.payload, dict) else None
        if given is None or (isinstance(given, str) and given.startswith(_OPAQUE)):
            return
        try:
            identity = await self._identity_of(given)
            if channel.access.covers(identity):
                return
            rights = await self._rights(channel.wish, identity, channel.name)
        except RealtimeError as error:
            self.give_up(channel, error)
            return
        if self.channels.get(channel.topic) is channel:
            channel.move_to(self.admit(identity, on_lost=self._lost), rights)
            self.spawn(channel.watch_again())

    # --- ends ---------------------------------------------------------------------------------------

    def end(self, channel: Channel) -> None:
        """End a membership, and forget it."""
        if self.channels.get(channel.topic) is channel:
            del self.channels[channel.topic]
            channel.end()

    def give_up(self, channel: Channel, error: RealtimeError) -> None:
        """End a membership for good: its client does not join again by itself."""
        if self.channels.get(channel.topic) is channel:
            channel.system("error", _said(error))
            self.end(channel)
            self.push(channel.over())

    def _replace(self, channel: Channel | None) -> None:
        if channel is not None:
            self.end(channel)
            self.push(channel.over())

    def _lost(self, access: Access, error: RealtimeError) -> None:
        for channel in list(self.channels.values()):
            if channel.access is access:
                self.give_up(channel, error)

    def on_missed(self, subscription: Subscription) -> None:
        channel = subscription.id
        if isinstance(channel, Channel) and isinstance(subscription.rendering, PresenceFrames):
            channel.tell_presence_soon()

    def on_access_lost(self, subscription: Subscription) -> None:
        if isinstance(subscription.id, Channel):
            self.give_up(subscription.id, NotYoursError())

    # --- whose it is --------------------------------------------------------------------------------

    async def _identity_of(self, token: Any) -> Identity | None:
        """The identity of a key or token; None is the anon key's."""
        if isinstance(token, str) and is_anon_key(token):
            return None
        identity: Identity = await self.scope["identify"](token)
        return identity

    async def _identity_in(self, token: Any) -> Identity | None:
        """The identity of a channel: its own, or else that of the socket."""
        if token is None or (isinstance(token, str) and token.startswith(_OPAQUE)):
            return self._identity
        return await self._identity_of(token)


def _user_id(identity: Identity | None) -> int | None:
    return None if identity is None else int(identity.user.pk)


def _said(error: RealtimeError) -> str:
    """What the page is told before a channel is closed."""
    if isinstance(error, TokenExpiredError):
        return "Token has expired"
    return reason_of(error).partition(": ")[2] or error.message


def _header(scope: dict[str, Any], name: bytes) -> str | None:
    return next((value.decode("latin1") for header, value in scope["headers"] if header == name), None)


_UNMATCHED = text_of({"reason": "unmatched topic"})
_TOO_LARGE = text_of({"error": "payload_size_exceeded"})
_UNAUTHORIZED = text_of({"error": "unauthorized"})

#: What a client may push into a channel; other events are passed over.
_EVENTS: dict[str, Callable[[SupabaseConsumer, Channel, Push], Awaitable[None] | None]] = {
    "phx_leave": SupabaseConsumer.leave,
    "broadcast": SupabaseConsumer.broadcast,
    "presence": SupabaseConsumer.presence,
    "access_token": SupabaseConsumer.take_token,
}
