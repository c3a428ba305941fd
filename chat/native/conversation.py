"""The feed of one conversation: `conversation.<id>`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import msgspec

from chat import answers, selectors, serializers
from chat.errors import NotAParticipantError
from chat.events import CONVERSATION_EVENTS, V1_RENDERING, conversation_topic
from chat.native.companions import companion_events, listen_to_companions
from chat.resuming import conversation_id_of, history_url, membership_of, receipts_in, resumed_from
from chat.selectors import Membership
from native.feeds import Feed, feed
from native.pages import fitting
from realtime import Event, FrameBatch, Position, RealtimeError, Subscription, one_moment

#: Seconds before a failed reading of receipts is tried again.
RETRY_SECONDS = 1.0
#: Bytes that must fit into the outbox before receipts are read again, about those of one batch: so a slow
#: peer is not sent stale receipts again and again.
ROOM_BYTES = 32 * 1024


def history_now(user_id: int, conversation_id: int, limit: int) -> tuple[Membership, msgspec.Raw]:
    """The user's membership and the newest page of a conversation, at one moment. Uses the database."""
    with one_moment():
        membership = selectors.membership_for(user_id=user_id, conversation_id=conversation_id)
        return membership, fitting(
            lambda rows: answers.history(membership, before=None, after=None, limit=rows), limit
        )


@feed("conversation", shows=serializers.HistoryPageSerializer)
class ConversationFeed(Feed):
    """The feed of one of the user's conversations."""

    __slots__ = ("_owes_receipts", "conversation_id")

    @classmethod
    def tells(cls) -> Iterable[type[Event]]:
        return [*CONVERSATION_EVENTS, *companion_events()]

    async def open(self) -> None:
        #: Whether receipts still have to be read and sent.
        self._owes_receipts = False
        self.conversation_id = conversation_id_of(self.name)
        # The topic must be spelled in one way, or a conversation would have several feeds.
        if self.topic != conversation_topic(self.conversation_id):
            raise NotAParticipantError
        since = self.since
        if since is None and self.snapshot_size:
            await self._show(reason=None)
            return
        membership = await self._look_up()
        end = membership.end
        if since is None:
            self._listen(end, end, self.say_live)
            return
        position = await resumed_from(since, membership)
        if isinstance(position, str):
            await self._begin_anew(membership, position)
        else:
            self._listen(position, end, self._resumed)

    def on_access_lost(self, subscription: Subscription) -> None:
        self.give_up(NotAParticipantError())

    def on_missed(self, subscription: Subscription) -> None:
        if subscription.topic == self.topic:
            self._tell_receipts_soon()

    def on_misled(self, subscription: Subscription, seq: int) -> None:
        subscription.end()  # stays ended until the other log is known to be the user's to read
        self.socket.spawn(self._leave_the_other_past())

    def _look_up(self) -> Awaitable[Membership]:
        return membership_of((self.socket.user_id, self.conversation_id))

    def _listen(
        self, position: Position, end: Position, on_live: Callable[[Position], None] | None = None
    ) -> None:
        self.listen(
            self.topic,
            V1_RENDERING,
            position=position,
            authorized_at=end,
            on_live=on_live,
        )
        listen_to_companions(self, self.conversation_id, shown_as=self.topic)

    def _resumed(self, place: Position) -> None:
        self.say_live(place, resumed=True)
        self._tell_receipts_soon()

    # --- what there is now --------------------------------------------------------------------------

    async def _show(self, reason: str | None) -> None:
        """Answer with the newest page, and send everything after it."""
        membership, page = await self.socket.run(
            history_now, self.socket.user_id, self.conversation_id, self.snapshot_size
        )
        await self.room_for(page)
        end = membership.end
        self.say_live(end, reason=reason, snapshot=page)
        self._listen(end, end)
        self._tell_receipts_soon()

    async def _begin_anew(self, membership: Membership, reason: str) -> None:
        """The client cannot resume: answer with the newest page, or with where to load it."""
        if not self.is_answered and self.snapshot_size:
            await self._show(reason)
            return
        end = membership.end
        self.say_resync(reason, history_url(membership), end)
        self._listen(end, end)

    async def _leave_the_other_past(self) -> None:
        try:
            membership = await self._look_up()
            if self.is_open:  # the client may have ended it meanwhile
                await self._begin_anew(membership, "unknown_position")
        except RealtimeError as error:
            self.give_up(error)

    async def _receipts(self) -> list[FrameBatch]:
        """Read the receipts, again and again until the database answers: they are not in the log."""
        while self.is_open:
            try:
                return await receipts_in(self.conversation_id)
            except RealtimeError:
                await asyncio.sleep(RETRY_SECONDS)
        return []

    def _tell_receipts_soon(self) -> None:
        """Send the present receipts after some were missed; several calls in a row cause one reading."""
        if not self._owes_receipts:
            self._owes_receipts = True
            self.socket.spawn(self._tell_receipts())

    async def _tell_receipts(self) -> None:
        """Send the members' cursors as they are now, since receipts are not kept as events."""
        await self.socket.outbox.room_for(ROOM_BYTES)
        self._owes_receipts = False
        wrap = self.named().wrap
        for batch in await self._receipts():
            chunk = batch.wrapped(wrap).chunk_for((self.socket.user_id,))
            await self.socket.outbox.room_for(chunk.size)
            if not self.is_open:
                return  # nothing may follow `unsubscribed`
            self.socket.outbox.push_batch(chunk)
