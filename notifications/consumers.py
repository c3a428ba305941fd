"""The socket of one user's notifications: /ws/notifications/."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any

import msgspec

from guide_dialect.consumer import GuideConsumer
from guide_dialect.dialect import GuideDialect
from notifications import selectors, services
from notifications.events import GUIDE_RENDERING, V1_RENDERING
from notifications.sources import FollowsSources, NoticeRendering, Source
from notifications.texts import supported_language
from realtime import (
    MAX_INTEGER,
    START,
    Command,
    Event,
    Position,
    Ref,
    Rendering,
    Request,
    Subscription,
    errors,
    named_command,
    positions,
    user_topic,
)

#: Topics that one socket follows: more than anybody reads, and what one connect may cost. A new topic never
#: replaces another, or anybody could silence all others with new ones; the inbox has the rest.
MAX_TOPICS = 1_000
#: Entries marked by one command: a page of the inbox.
MAX_IDS = 200
#: Tries to count at a moment when nothing more is told; under a steady stream the last count is used.
COUNT_TRIES = 3

INBOX_URL = "/api/notifications/"


class MarkRead(msgspec.Struct):
    ids: Annotated[
        list[Annotated[int, msgspec.Meta(ge=1, le=MAX_INTEGER)]],
        msgspec.Meta(min_length=1, max_length=MAX_IDS),
    ]


class MarkAllRead(msgspec.Struct):
    pass


class Subscribed(Event, tag="subscribed", frozen=True):
    """The socket is live; `unread_count` is true as of `seq`, and every event after it will come."""

    seq: int
    position: str
    resumed: bool
    unread_count: int


class Resync(Event, tag="resync", frozen=True):
    """What was missed cannot be told event by event; it is at `url`, and from now on the socket is live."""

    reason: str
    url: str
    position: str


class NotificationConsumer(FollowsSources, GuideConsumer):
    """Shows notifications, as the guide does; anything else only to a client that opted in (`v1`)."""

    kind = "notifications"
    guide = GuideDialect(tells_errors=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: The sources that it follows, by topic.
        self._followed: dict[str, Source] = {}
        #: Whether it is about to ask again which topics its user may read.
        self._listens_anew = False
        self._language = ""

    async def authorize(self) -> None:
        since = positions.parse(self.query.get("since", ""))
        seqs = [self.identity.authorized_at, (since or START).seq]
        following = await self.run(selectors.following, user_id=self.user_id, limit=MAX_TOPICS, seqs=seqs)
        self._language = supported_language(self.user.language)
        for source, topic, head in following.topics:
            self._listen(source, topic, after=head)
        self._listen_to_own_topic(following, since)

    def rendering_of(self, topic: str) -> Rendering:
        if topic in self._followed:
            return NoticeRendering(self._followed[topic], self._language)
        return V1_RENDERING if self.v1 else GUIDE_RENDERING

    def on_request(self, request: Request) -> Awaitable[None] | None:
        is_shared = named_command(GuideConsumer.commands, request.name) is not None
        if not self.v1 and request.ref is None and request.flaw is None and not is_shared:
            return None  # the guide's page sends nothing; an answer would be shown to its user
        return super().on_request(request)

    async def _read(self, frame: MarkRead, ref: Ref) -> None:
        self._acknowledge(ref, await self.run(services.mark_read, user_id=self.user_id, ids=frame.ids))

    async def _read_all(self, _frame: MarkAllRead, ref: Ref) -> None:
        await self.run(services.mark_all_read, user_id=self.user_id)
        self._acknowledge(ref, 0)

    def _acknowledge(self, ref: Ref, unread_count: int) -> None:
        if ref is not None:
            self.push({"type": "ack", "ref": ref, "unread_count": unread_count})

    commands = {
        **GuideConsumer.commands,
        "read": Command(MarkRead, _read),
        "read_all": Command(MarkAllRead, _read_all),
    }

    # --- what it listens to -------------------------------------------------------------------------

    def follow(self, source: Source, own: Subscription, topic: str, *, after: int) -> None:
        if own is not self.subscription(own.topic):
            return  # the subscription to revocations, which may be told this earlier
        followed = self.subscription(topic)
        if followed is not None:
            # The removal before this event may not be told yet on that topic. It must not end what is
            # followed anew, and what was said between the two is not for this user.
            is_new = followed.seq < after
        else:
            is_new = len(self._followed) < MAX_TOPICS
        if is_new:
            self._listen(source, topic, after=after)

    def on_access_lost(self, subscription: Subscription) -> None:
        self._followed.pop(subscription.topic, None)

    def _listen(self, source: Source, topic: str, *, after: int) -> None:
        self._followed[topic] = source
        self.join(topic, position=Position(after), authorized_at=Position(after))

    def _listen_to_own_topic(self, following: selectors.Following, since: Position | None) -> None:
        """Join the user's own topic from where the client is."""
        known, there = following.places
        if not self.v1:
            self._join_own(known, known)
        elif "since" not in self.query:
            self._join_own(known, known, partial(self._live, resumed=False))
        elif since is None or since.seq > known.seq:
            self._resync("unknown_position", known)
        elif since.seq < following.floor or (since.mark and since.seq == following.floor):
            self._resync("too_old", known)
        elif not since.is_at(there):
            self._resync("unknown_position", known)
        else:
            self._join_own(since, known, partial(self._live, resumed=True))

    def _join_own(
        self, position: Position, known: Position, on_live: Callable[[Position], None] | None = None
    ) -> None:
        topic = user_topic(self.user_id)
        self.join(topic, position=position, authorized_at=known, on_live=on_live)

    def _resync(self, reason: str, known: Position) -> None:
        self.push(Resync(reason=reason, url=INBOX_URL, position=str(known)))
        self._join_own(known, known)

    def on_misled(self, subscription: Subscription, seq: int) -> None:
        if subscription.topic not in self._followed:  # its user's sessions may not be what they were
            super().on_misled(subscription, seq)
            return
        del self._followed[subscription.topic]
        subscription.end()
        if not self._listens_anew:
            self._listens_anew = True
            self.spawn(self._listen_anew())

    async def _listen_anew(self) -> None:
        """Follow again the topics left because their log was another one, as far as it is still allowed."""
        self._listens_anew = False
        try:
            following = await self.run(selectors.following, user_id=self.user_id, limit=MAX_TOPICS)
        except errors.RealtimeError as error:
            self.refuse(error)
            return
        for source, topic, head in following.topics:
            if topic not in self._followed:
                self._listen(source, topic, after=head)

    # --- what it says about itself ------------------------------------------------------------------

    def _live(self, _place: Position, *, resumed: bool) -> None:
        self.spawn(self._say_subscribed(resumed=resumed))

    async def _say_subscribed(self, *, resumed: bool) -> None:
        """Tell how much is unread at a position that this socket has reached: later events add to it."""
        own = self.subscription(user_topic(self.user_id))
        if own is None:
            return  # closed meanwhile
        try:
            for _ in range(COUNT_TRIES):
                standing = await self.run(selectors.standing, self.user_id)
                told = await own.told(standing.end.seq)
                if told.seq == standing.end.seq:
                    break
        except errors.RealtimeError as error:
            self.refuse(error)
            return
        # Not beyond what was told, or a resume from there would skip the rest.
        place = told if told.seq < standing.end.seq else standing.end
        self.push(
            Subscribed(
                seq=place.seq, position=str(place), resumed=resumed, unread_count=standing.unread_count
            )
        )
