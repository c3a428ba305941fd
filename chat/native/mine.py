"""The feed `mine`: all conversations of a user; it follows the user into new ones and out of others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import msgspec
from msgspec import Meta

from accounts.models import User
from chat import selectors, serializers
from chat.events import (
    CONVERSATION_EVENTS,
    V1_RENDERING,
    ConversationJoined,
    ConversationLeft,
    conversation_topic,
)
from chat.native.asking import conversations_page
from chat.native.companions import companion_events, end_companions, listen_to_companions
from chat.native.conversation import RETRY_SECONDS
from chat.resuming import history_url, resumed_from
from chat.selectors import Membership, Share, Unread
from native.consumer import NativeConsumer
from native.dialect import Asked
from native.errors import UnknownTopicError
from native.feeds import MAX_FOLLOWING, Feed, Subscribe, feed
from native.frames import Subscribed
from native.pages import fitting
from realtime import (
    NOTHING,
    BatchLoader,
    Count,
    Delivery,
    Event,
    Id,
    InvalidFrameError,
    OnlyTypes,
    Position,
    PositionText,
    RealtimeError,
    Seq,
    Subscription,
    Told,
    acts_on,
    log,
    one_moment,
    user_topic,
)

#: Conversations that one subscription covers: more than anybody reads.
MAX_CONVERSATIONS = 1_000

#: The events on `mine` itself.
_COMINGS_AND_GOINGS = OnlyTypes(frozenset({"conversation_joined", "conversation_left"}))

unread_in: BatchLoader[Share, Unread] = BatchLoader(selectors.unread_in)


class ConversationRead(Event, tag="conversation_read", frozen=True):
    """The user's cursor on any device, and the unread count at `last_seq`."""

    conversation_id: Id
    read_seq: Seq
    delivered_seq: Seq
    unread_count: Count
    last_seq: Seq


class SubscribedToMine(Subscribed, tag="subscribed", frozen=True, kw_only=True):
    """`subscribed`, with the position of each conversation by its topic."""

    positions: Annotated[dict[str, PositionText], Meta(examples=[{"conversation.123": "981-3f9c2a71d0"}])]


@dataclass(frozen=True, slots=True)
class Now:
    """The user's conversations at one moment."""

    #: The end of the user's own topic.
    end: Position
    memberships: Mapping[int, Membership]
    #: The first page of the user's list, if it was asked for.
    page: msgspec.Raw | None


def conversations_now(user: User, limit: int) -> Now:
    """The user's memberships and the first page of the list, at one moment."""
    own = user_topic(user.pk)
    with one_moment():
        end = log.ends([own])[own]
        memberships = selectors.latest_memberships(user.pk, limit=MAX_CONVERSATIONS)
        by_id = {membership.conversation_id: membership for membership in memberships}
        return Now(end, by_id, _first_page(user, limit) if limit else None)


def page_now(user: User, limit: int) -> msgspec.Raw:
    """The first page of the user's list."""
    with one_moment():
        return _first_page(user, limit)


def _first_page(user: User, limit: int) -> msgspec.Raw:
    return fitting(lambda rows: conversations_page(user, position=None, limit=rows), limit)


async def _resumed_from(since: Mapping[str, str], membership: Membership) -> Position | str:
    known = since.get(conversation_topic(membership.conversation_id))
    return membership.end if known is None else await resumed_from(known, membership)


@feed("mine", shows=serializers.ConversationsPageSerializer, answers=SubscribedToMine)
class MineFeed(Feed):
    """The feed of all conversations of the user."""

    most = MAX_FOLLOWING

    @classmethod
    def tells(cls) -> Iterable[type[Event]]:
        on_mine = (ConversationJoined, ConversationLeft, ConversationRead)
        return [*CONVERSATION_EVENTS, *companion_events(), *on_mine]

    def __init__(self, socket: NativeConsumer, wish: Subscribe, asked: Asked, name: str) -> None:
        super().__init__(socket, wish, asked, name)
        #: The conversations whose moved cursors are not read yet, and whether moves of others were missed.
        self._moved: set[int] = set()
        self._has_missed_moves = False
        #: The followed conversations, by topic.
        self._followed: dict[str, int] = {}
        #: The topics that are not live yet, and a future that is done when all are.
        self._behind: set[str] = set()
        self._all_live: asyncio.Future[None] | None = None

    async def open(self) -> None:
        if self.topic != "mine":
            raise UnknownTopicError
        since = self._since()
        own = self._listen_to_own_topic()
        if own.is_behind:
            await own.told(0)
            self._has_missed_moves = False  # what was missed until now is in what is read next
        now = await self.socket.run(conversations_now, self.socket.user, 0 if since else self.snapshot_size)
        await own.told(now.end.seq)  # earlier events are in what was read, and are not sent
        if since is None:
            await self.room_for(now.page)
            self._say_subscribed(
                own, now.end, now.page, {pk: each.end for pk, each in now.memberships.items()}
            )
            for membership in now.memberships.values():
                self._listen(membership, membership.end)
        else:
            await self._resume(now, since)
            page = None
            if self.snapshot_size:
                page = await self.socket.run(page_now, self.socket.user, self.snapshot_size)
            await self.room_for(page)
            self._say_subscribed(own, now.end, page, self._places())
        moved, self._moved = self._moved, set()
        for conversation_id in list(self._followed.values()) if self._has_missed_moves else moved:
            self.tell_read(conversation_id)

    def _since(self) -> Mapping[str, str] | None:
        since = self.wish.since
        if since is not None and not isinstance(since, dict):
            raise InvalidFrameError("`since` must be an object for mine: the position of each topic.")
        return since

    def _listen_to_own_topic(self) -> Subscription:
        # Before the conversations are read, so that no event falls between the two.
        identity = self.socket.there.identity
        assert identity is not None
        known = Position(identity.authorized_at)
        return self.listen(user_topic(self.socket.user_id), NOTHING, position=known, authorized_at=known)

    def _listen(self, membership: Membership, position: Position) -> None:
        self._follow(membership.conversation_id, position, authorized_at=membership.end)

    def _follow(self, conversation_id: int, position: Position, *, authorized_at: Position) -> None:
        topic = conversation_topic(conversation_id)
        self._followed[topic] = conversation_id
        self._behind.add(topic)
        self.listen(
            topic,
            V1_RENDERING,
            shown_as=topic,
            position=position,
            authorized_at=authorized_at,
            on_live=partial(self._is_live, topic),
        )
        listen_to_companions(self, conversation_id, shown_as=topic)

    def _is_live(self, topic: str, _place: Position) -> None:
        self._behind.discard(topic)
        self._look_whether_all_are_live()

    # --- the answer ---------------------------------------------------------------------------------

    async def _resume(self, now: Now, since: Mapping[str, str]) -> None:
        """Send what was missed in the conversations that `since` names, and wait until all are live."""
        memberships = now.memberships.values()
        # All at once, so that they share their look-ups.
        positions = await asyncio.gather(*(_resumed_from(since, membership) for membership in memberships))
        for membership, position in zip(memberships, positions, strict=True):
            if isinstance(position, str):
                self._say_resync(membership, position)
            self._listen(membership, membership.end if isinstance(position, str) else position)
        if self._behind:
            self._all_live = self.socket.hub.loop.create_future()
            await self._all_live

    def _look_whether_all_are_live(self) -> None:
        if self._all_live is not None and not self._behind and not self._all_live.done():
            self._all_live.set_result(None)

    def _say_resync(self, membership: Membership, reason: str) -> None:
        topic = conversation_topic(membership.conversation_id)
        self.socket.push(self.resync(reason, history_url(membership), membership.end, topic=topic))

    def _places(self) -> dict[int, Position]:
        places = {}
        for topic, conversation_id in self._followed.items():
            subscription = self.socket.subscription(topic, self)
            if subscription is not None:
                subscription.audience.write_pending()  # the place counts pending events as sent
                places[conversation_id] = subscription.place
        return places

    def _say_subscribed(
        self, own: Subscription, place: Position, page: msgspec.Raw | None, places: Mapping[int, Position]
    ) -> None:
        told = {conversation_topic(pk): str(position) for pk, position in places.items()}
        resumed = self.wish.since is not None
        self.say_live(place, resumed=resumed, snapshot=page, positions=told)
        if own.seq == place.seq:
            own.render_as(self.enveloped(_COMINGS_AND_GOINGS))
            return
        # Events arrived meanwhile: they are read from the log, so that joined and left conversations are
        # followed in that order. Events that no log keeps were missed (`on_missed`).
        self.listen(user_topic(self.socket.user_id), _COMINGS_AND_GOINGS, position=place, authorized_at=place)

    # --- what happens to the user -------------------------------------------------------------------

    def follow(self, conversation_id: int, after: int) -> None:
        """Follow a conversation that the user joined, from a seq on."""
        if not self.is_answered:
            return  # the conversation is in what is read, or the event comes again after the answer
        followed = self.socket.subscription(conversation_topic(conversation_id), self)
        if followed is not None:
            # The topic may still be behind an earlier removal, which must not end the new subscription.
            is_new = followed.seq < after
        else:
            is_new = len(self._followed) < MAX_CONVERSATIONS
        if is_new:
            self._follow(conversation_id, Position(after), authorized_at=Position(after))

    def tell_read(self, conversation_id: int) -> None:
        """Send the user's cursor and unread count, after a cursor moved."""
        is_known = conversation_id in self._moved
        self._moved.add(conversation_id)
        if self.is_answered and not is_known:
            self.socket.spawn(self._tell_read(conversation_id))

    async def _tell_read(self, conversation_id: int) -> None:
        while self.is_open:
            self._moved.discard(conversation_id)  # a later move is counted by another read
            try:
                unread = await unread_in((self.socket.user_id, conversation_id))
            except RealtimeError as error:
                if not error.retryable:
                    return  # removed
                # Nobody else makes up for it: the read is repeated until the database answers.
                self._moved.add(conversation_id)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                if self.is_open:
                    self.tell(ConversationRead(**unread._asdict()))
                return

    def on_missed(self, subscription: Subscription) -> None:
        if subscription.topic != user_topic(self.socket.user_id):
            return
        if not self.is_answered:
            self._has_missed_moves = True
            return
        for conversation_id in self._followed.values():
            self.tell_read(conversation_id)

    def on_access_lost(self, subscription: Subscription) -> None:
        conversation_id = self._leave(subscription.topic)
        if conversation_id is not None:
            end_companions(self, conversation_id)

    def _leave(self, topic: str) -> int | None:
        conversation_id = self._followed.pop(topic, None)
        self._behind.discard(topic)
        self._look_whether_all_are_live()
        return conversation_id

    def on_misled(self, subscription: Subscription, seq: int) -> None:
        conversation_id = self._followed.get(subscription.topic)
        if conversation_id is None:
            super().on_misled(subscription, seq)
            return
        subscription.end()  # stays ended until the other log is known to be the user's to read
        self.socket.spawn(self._leave_the_other_past(subscription.topic, conversation_id))

    def give_up(self, error: RealtimeError) -> None:
        if self._all_live is not None and not self._all_live.done():
            self._all_live.set_exception(error)  # becomes the answer to `subscribe`
        else:
            super().give_up(error)

    async def _leave_the_other_past(self, topic: str, conversation_id: int) -> None:
        try:
            [membership] = await self.socket.run(
                selectors.memberships_of, self.socket.user_id, [conversation_id]
            )
        except RealtimeError as error:
            self.give_up(error)
        except ValueError:  # the user is no member any more
            self._leave(topic)
            end_companions(self, conversation_id)
        else:
            if self.is_open:  # the client may have ended it meanwhile
                self._say_resync(membership, "unknown_position")
                self._listen(membership, membership.end)


@acts_on("conversation_joined")
def follow_into_conversation(delivery: Delivery, told: Told) -> None:
    """The `mine` feeds of a user who joined a conversation follow it."""
    fields = delivery.fields
    for subscription in told.everyone():
        if isinstance(subscription.id, MineFeed):
            subscription.id.follow(fields["conversation_id"], fields["conversation_seq"])


@acts_on("cursors_moved")
def tell_what_was_read(delivery: Delivery, told: Told) -> None:
    """All devices of a user are sent the user's own cursors, also if other users are not."""
    for subscription in told.everyone():
        if isinstance(subscription.id, MineFeed):
            subscription.id.tell_read(delivery.fields["conversation_id"])
