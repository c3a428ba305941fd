"""The socket of one user's notifications: /ws/notifications/."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated

import msgspec

from guide_dialect.consumer import COMMON_FRAMES, GuideConsumer, ResumingParameters
from guide_dialect.dialect import GuideDialect
from notifications import selectors, services
from notifications.events import GUIDE_RENDERING, V1_RENDERING, Noticed, NotificationsRead, Notified
from notifications.following import MAX_TOPICS, Following
from notifications.resuming import counted, resumed_from
from notifications.sources import FollowsSources, Source
from realtime import (
    START,
    Command,
    Count,
    Event,
    Id,
    Position,
    PositionText,
    Ref,
    Rendering,
    Request,
    Seq,
    Subscription,
    errors,
    named_command,
    positions,
    user_topic,
)

#: Entries marked by one command: one page of the inbox.
MAX_IDS = 200

INBOX_URL = "/api/notifications/"


class MarkRead(msgspec.Struct):
    """Mark entries of the inbox as read."""

    ids: Annotated[list[Id], msgspec.Meta(min_length=1, max_length=MAX_IDS)]


class MarkAllRead(msgspec.Struct):
    """Mark the whole inbox as read."""


class Acknowledged(Event, tag="ack", frozen=True):
    """The entries are marked as read; `unread_count` entries are unread now."""

    ref: Ref
    unread_count: Count


class Subscribed(Event, tag="subscribed", frozen=True):
    """The socket is live: `unread_count` holds at `seq`, and every event after that will come."""

    subscribed_seq: Seq = msgspec.field(name="seq")
    position: PositionText
    resumed: Annotated[bool, msgspec.Meta(description="Whether what was missed after `since` came before.")]
    unread_count: Count


class Resync(Event, tag="resync", frozen=True):
    """What was missed is not sent event by event: load it from `url`. Live from `position` on."""

    reason: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["unknown_position", "too_old"]})]
    url: Annotated[str, msgspec.Meta(examples=[INBOX_URL])]
    position: PositionText


class NotificationConsumer(FollowsSources, GuideConsumer):
    """The socket of one user's notifications, stored ones and notices."""

    kind = "notifications"
    guide = GuideDialect(tells_errors=False)

    following: Following

    async def authorize(self) -> None:
        self.following = Following(self)
        since = positions.parse(self.query.get("since", ""))
        seqs = [self.identity.authorized_at, (since or START).seq]
        following = await self.run(selectors.following, user_id=self.user_id, limit=MAX_TOPICS, seqs=seqs)
        self.following.begin(following)
        self._listen_to_own_topic(following, since)

    async def left(self) -> None:
        self.following.end()

    def rendering_of(self, topic: str) -> Rendering:
        return self.following.rendering_of(topic) or (V1_RENDERING if self.v1 else GUIDE_RENDERING)

    def on_request(self, request: Request) -> Awaitable[None] | None:
        is_shared = named_command(GuideConsumer.commands, request.name) is not None
        if not self.v1 and request.ref is None and request.flaw is None and not is_shared:
            return None  # the guide's page sends nothing, and would show an answer to its user
        return super().on_request(request)

    async def _read(self, frame: MarkRead, ref: Ref) -> None:
        self._acknowledge(ref, await self.run(services.mark_read, user_id=self.user_id, ids=frame.ids))

    async def _read_all(self, _frame: MarkAllRead, ref: Ref) -> None:
        await self.run(services.mark_all_read, user_id=self.user_id)
        self._acknowledge(ref, 0)

    def _acknowledge(self, ref: Ref, unread_count: int) -> None:
        if ref is not None:
            self.push(Acknowledged(ref=ref, unread_count=unread_count))

    commands = {
        **GuideConsumer.commands,
        "read": Command(MarkRead, _read, (Acknowledged,)),
        "read_all": Command(MarkAllRead, _read_all, (Acknowledged,)),
    }
    frames = (
        *(Notified, Noticed, NotificationsRead),
        *(Acknowledged, Subscribed, Resync),
        *COMMON_FRAMES,
    )
    guide_frames = (Notified, Noticed)
    parameters = ResumingParameters

    # --- what it listens to -------------------------------------------------------------------------

    def follow(self, source: Source, own: Subscription, topic: str, *, after: int) -> None:
        if own is self.subscription(own.topic):  # not the connection's own one, which hears of revocations
            self.following.enter(source, topic, after=after)

    def on_access_lost(self, subscription: Subscription) -> None:
        self.following.leave(subscription.topic)

    def on_misled(self, subscription: Subscription, seq: int) -> None:
        if not self.following.was_misled(subscription):  # the user's own topic: sessions may have changed
            super().on_misled(subscription, seq)

    def listen_to(self, topic: str, _rendering: Rendering, position: Position) -> None:
        """Subscribe to a followed topic, for `following`; `rendering_of` asks it for the rendering."""
        self.join(topic, position=position, authorized_at=position)

    def subscription_to(self, topic: str) -> Subscription | None:
        """The subscription to a followed topic, if there is one."""
        return self.subscription(topic)

    def fail(self, error: errors.RealtimeError) -> None:
        """Close the socket, for `following`."""
        self.refuse(error)

    def _listen_to_own_topic(self, following: selectors.Following, since: Position | None) -> None:
        """Subscribe to the user's own topic, from where the client is."""
        known, there = following.places
        if not self.v1:
            self._join_own(known, known)
        elif "since" not in self.query:
            self._join_own(known, known, partial(self._live, resumed=False))
        elif isinstance(place := resumed_from(since, known, there, following.floor), str):
            self._resync(place, known)
        else:
            self._join_own(place, known, partial(self._live, resumed=True))

    def _join_own(
        self, position: Position, known: Position, on_live: Callable[[Position], None] | None = None
    ) -> None:
        topic = user_topic(self.user_id)
        self.join(topic, position=position, authorized_at=known, on_live=on_live)

    def _resync(self, reason: str, known: Position) -> None:
        self.push(Resync(reason=reason, url=INBOX_URL, position=str(known)))
        self._join_own(known, known)

    # --- what it says about itself ------------------------------------------------------------------

    def _live(self, _place: Position, *, resumed: bool) -> None:
        self.spawn(self._say_subscribed(resumed=resumed))

    async def _say_subscribed(self, *, resumed: bool) -> None:
        """Tell the unread count at a position that this socket has reached; later events add to it."""
        own = self.subscription(user_topic(self.user_id))
        if own is None:
            return  # closed meanwhile
        try:
            place, unread_count = await counted(own, self.run)
        except errors.RealtimeError as error:
            self.refuse(error)
            return
        self.push(
            Subscribed(
                subscribed_seq=place.seq,
                position=str(place),
                resumed=resumed,
                unread_count=unread_count,
            )
        )
