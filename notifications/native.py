"""The inbox on the native socket: its feed, and its commands."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Annotated, Any

import msgspec

from accounts.models import User
from native.commands import in_thread
from native.consumer import NativeConsumer
from native.dialect import Asked
from native.errors import UnknownTopicError
from native.feeds import MAX_FOLLOWING, Feed, Named, Subscribe, feed
from native.frames import Subscribed
from native.pages import fitting
from notifications import answers, selectors, serializers, services
from notifications.consumers import INBOX_URL, MarkRead
from notifications.events import V1_RENDERING, Noticed, NotificationsRead, Notified
from notifications.following import MAX_TOPICS, Following
from notifications.resuming import counted, resumed_from
from notifications.serializers import DEFAULT_PAGE, MAX_PAGE
from notifications.sources import FollowsSources, Source
from realtime import (
    START,
    Count,
    Event,
    Id,
    Position,
    RealtimeError,
    Rendering,
    Subscription,
    one_moment,
    positions,
    user_topic,
)


class ListNotifications(msgspec.Struct):
    """A page of the inbox: the newest entries, those with ids below one, or the oldest above one."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE
    before: Id | None = None
    after: Count | None = None
    unread: bool = False


class Everything(msgspec.Struct):
    """A command without fields."""


class SubscribedToInbox(Subscribed, tag="subscribed", frozen=True, kw_only=True):
    """`subscribed` of the inbox, with the unread count at its `seq`."""

    unread_count: Count


class Now:
    """The inbox at one moment, and the topics that its user may follow."""

    def __init__(self, user_id: int, since: int, limit: int) -> None:
        with one_moment():
            self.standing = selectors.standing(user_id)
            seqs = [self.standing.end.seq, since]
            self.following = selectors.following(user_id=user_id, limit=MAX_TOPICS, seqs=seqs)
            self.page = fitting(lambda rows: answers.inbox(user_id, limit=rows), limit) if limit else None


@feed("inbox", shows=serializers.InboxPageSerializer, answers=SubscribedToInbox)
class InboxFeed(Feed, FollowsSources):
    """The stored notifications of the user, and the notices from topics that the user may read."""

    most = MAX_FOLLOWING

    @classmethod
    def tells(cls) -> Iterable[type[Event]]:
        return [Notified, Noticed, NotificationsRead]

    def __init__(self, socket: NativeConsumer, wish: Subscribe, asked: Asked, name: str) -> None:
        super().__init__(socket, wish, asked, name)
        self.following = Following(self)

    def end(self) -> None:
        self.following.end()
        super().end()

    async def open(self) -> None:
        if self.topic != "inbox":
            raise UnknownTopicError
        since = None if self.since is None else positions.parse(self.since)
        now = await self.socket.run(Now, self.user_id, (since or START).seq, self.snapshot_size)
        end, there = now.following.places
        await self.room_for(now.page)
        if self.since is None:
            self._say_subscribed(now, reason=None)
        else:
            place = resumed_from(since, end, there, now.following.floor)
            if isinstance(place, Position):
                self._follow_sources(now)
                self._listen(place, end, on_live=self._is_live)
                return
            if now.page is not None:
                self._say_subscribed(now, reason=place)
            else:
                self.say_resync(place, INBOX_URL, end)
        self._listen(end, end)
        self._follow_sources(now)

    def _listen(
        self, position: Position, end: Position, on_live: Callable[[Position], None] | None = None
    ) -> None:
        self.listen(
            user_topic(self.user_id), V1_RENDERING, position=position, authorized_at=end, on_live=on_live
        )

    def _follow_sources(self, now: Now) -> None:
        if self.wish.notices:
            self.following.begin(now.following)

    # --- how it stands ------------------------------------------------------------------------------

    def _say_subscribed(self, now: Now, *, reason: str | None) -> None:
        standing = now.standing
        self.say_live(standing.end, unread_count=standing.unread_count, reason=reason, snapshot=now.page)

    def _is_live(self, _place: Position) -> None:
        self.spawn(self._say_resumed())

    async def _say_resumed(self) -> None:
        own = self.subscription_to(user_topic(self.user_id))
        if own is None:
            return  # ended meanwhile
        try:
            place, unread_count = await counted(own, self.run)
        except RealtimeError as error:
            self.give_up(error)
        else:
            self.say_live(place, unread_count=unread_count, resumed=True)

    # --- what happens to the user -------------------------------------------------------------------

    def follow(self, source: Source, own: Subscription, topic: str, *, after: int) -> None:
        if self.wish.notices:
            self.following.enter(source, topic, after=after)

    def on_access_lost(self, subscription: Subscription) -> None:
        self.following.leave(subscription.topic)

    def on_misled(self, subscription: Subscription, seq: int) -> None:
        if not self.following.was_misled(subscription):  # the user's own topic: sessions may have changed
            super().on_misled(subscription, seq)

    def named(self, topic: str | None = None) -> Named:
        """An envelope without the subscription's id: a notification has an `id` of its own."""
        return Named(topic or self.topic)

    # --- for `following` ----------------------------------------------------------------------------

    @property
    def user(self) -> User:
        """The user whose inbox it is."""
        user: User = self.socket.user
        return user

    @property
    def user_id(self) -> int:
        """The user's id."""
        return self.socket.user_id

    @property
    def run(self) -> Callable[..., Awaitable[Any]]:
        """Runs synchronous code that uses the database."""
        return self.socket.run

    @property
    def spawn(self) -> Callable[..., object]:
        """Starts a task of the socket."""
        return self.socket.spawn

    def listen_to(self, topic: str, rendering: Rendering, position: Position) -> None:
        """Subscribe to a followed topic, for `following`."""
        self.listen(topic, rendering, position=position, authorized_at=position)

    def subscription_to(self, topic: str) -> Subscription | None:
        """The subscription to a topic, if there is one."""
        return self.socket.subscription(topic, self)

    def fail(self, error: RealtimeError) -> None:
        """End this feed, for `following`."""
        self.give_up(error)


@in_thread("notifications", ListNotifications, shows=serializers.InboxPageSerializer)
def notifications(user: User, wish: ListNotifications) -> msgspec.Raw:
    return fitting(
        lambda limit: answers.inbox(
            user.pk, limit=limit, before=wish.before, after=wish.after, unread=wish.unread
        ),
        wish.limit,
    )


@in_thread("notifications.read", MarkRead, shows=serializers.UnreadCountSerializer)
def read(user: User, wish: MarkRead) -> dict[str, int]:
    return {"unread_count": services.mark_read(user_id=user.pk, ids=wish.ids)}


@in_thread("notifications.read_all", Everything, shows=serializers.ReadAllSerializer)
def read_all(user: User, _wish: Everything) -> dict[str, int]:
    return answers.read_all(user.pk)


@in_thread("notifications.unread_count", Everything, shows=serializers.UnreadCountSerializer)
def unread_count(user: User, _wish: Everything) -> dict[str, int]:
    return {"unread_count": selectors.unread_count(user.pk)}
