"""The feed of a collection: `collection.<name>`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from changes.errors import UnknownCollectionError
from changes.filters import Page, Sight
from changes.native.frames import ROW_FRAMES, RowCreated, RowDeleted, RowsSerializer, RowUpdated
from changes.native.pages import page_of
from changes.reactions import RIGHTS_CHANGED
from changes.watches import EVERY_EVENT, LookAgainError, Looked, Question, Watch, Watching, come_in, look
from native.feeds import Feed, feed
from native.rows import RowQuery, asked
from realtime import (
    Delivery,
    Event,
    Position,
    RealtimeError,
    Subscription,
    UnavailableError,
    log,
    positions,
)

#: Looks at a collection whose rights or changes do not come to rest.
MAX_LOOKS = 5


@feed("collection", shows=RowsSerializer)
class CollectionFeed(Feed):
    """The rows of one collection that the user may read and asks for."""

    takes_query = True

    __slots__ = ("_is_looking", "_looks_again", "_paused", "_watch")

    @classmethod
    def tells(cls) -> Iterable[type[Event]]:
        return [RowCreated, RowUpdated, RowDeleted]

    async def open(self) -> None:
        self._watch: Watch | None = None
        self._is_looking = False
        #: Why to look at the collection again, and the subscription that waits for it.
        self._looks_again: str | None = None
        self._paused: Subscription | None = None
        since = self.since
        if since is None:
            await self._begin(reason=None)
            return
        looked, floor = await self.socket.run(self._look, None)
        position = resumed_from(since, looked.place, floor)
        if isinstance(position, str):
            await self._begin(reason=position)
        else:
            self._listen(looked, position, self._resumed)

    def on_access_lost(self, subscription: Subscription) -> None:
        self.give_up(UnknownCollectionError())

    def on_misled(self, subscription: Subscription, seq: int) -> None:
        subscription.suspend()
        self.look_again(subscription, "unknown_position")

    def look_again(self, subscription: Subscription, reason: str) -> None:
        """Show what there is now: because of an event, what the client was shown may no longer hold."""
        self._looks_again, self._paused = reason, subscription
        if not self._is_looking:
            self._is_looking = True
            self.socket.spawn(self._look_until_it_holds())

    # --- the question -------------------------------------------------------------------------------

    @property
    def question(self) -> Question:
        """What the client asks."""
        query = self.wish.query or RowQuery()
        return Question(
            self.name,
            asked(query),
            frozenset(Sight(event) for event in query.events) if query.events else EVERY_EVENT,
            query.key,
        )

    @property
    def page(self) -> Page | None:
        """The rows to show: one more than asked for tells whether there are more."""
        size = self.snapshot_size
        return Page(size + 1) if size else None

    def _look(self, page: Page | None) -> tuple[Looked, int]:
        looked = look(self.socket.user_id, self.question, page=page)
        return looked, log.floor(looked.watch.topic)

    def _listen(
        self, looked: Looked, position: Position, on_live: Callable[[Position], None] | None = None
    ) -> None:
        self._watch = looked.watch
        self.listen(
            looked.watch.topic,
            Watching(looked.watch, ROW_FRAMES),
            position=position,
            authorized_at=looked.place,
            on_live=on_live,
        )

    def _resumed(self, place: Position) -> None:
        self.say_live(place, resumed=True)

    # --- what there is now --------------------------------------------------------------------------

    async def _begin(self, reason: str | None) -> None:
        """Answer with the rows there are, if the client wants some, and send every change after them."""
        looked, others, place = await self._look_and_come_in()
        if self.page is not None:
            snapshot = page_of(looked.rows, self.snapshot_size)
            await self.room_for(snapshot)
            self.say_live(looked.place, reason=reason, snapshot=snapshot)
        elif reason is None:
            self.say_live(looked.place)
        else:
            self.say_resync(reason, None, looked.place)
        frames, wrap = Watching(looked.watch, ROW_FRAMES), self.named().wrap
        for write in others:
            for payload in frames.payloads(write):
                await self.socket.outbox.room_for(len(payload))
                if not self.is_open:
                    return  # nothing may follow `unsubscribed`
                self.socket.push(wrap(payload))
        self._listen(looked, place)

    async def _look_and_come_in(self) -> tuple[Looked, list[Sequence[Delivery]], Position]:
        for _ in range(MAX_LOOKS):
            looked, _floor = await self.socket.run(self._look, self.page)
            if self.page is None:
                return looked, [], looked.place
            try:
                return looked, *await come_in(looked, self.socket.user_id, self.socket.run)
            except LookAgainError:
                continue
        raise UnavailableError("The collection does not come to rest; try again later.")

    async def _look_until_it_holds(self) -> None:
        try:
            while self.is_open and (reason := self._looks_again):
                self._looks_again = None
                await self._show_again(reason)
        except RealtimeError as error:
            self.give_up(error)
        finally:
            self._is_looking = False

    async def _show_again(self, reason: str) -> None:
        paused = self._paused
        assert paused is not None
        if reason == RIGHTS_CHANGED:
            looked, _floor = await self.socket.run(self._look, None)
            if looked.watch == self._watch:  # the change was about something else
                paused.resume()
                return
        paused.end()
        await self._begin(reason)


def resumed_from(text: str, end: Position, floor: int) -> Position | str:
    """The position to resume from, or the reason why the client cannot.

    A mark of another past is not found here, but when the log is read from the position: `on_misled`.
    """
    since = positions.parse(text)
    if since is None or since.seq > end.seq:
        return "unknown_position"
    # A pruned event is gone, and with it the mark to compare.
    is_gone = since.seq < floor or (since.mark and since.seq == floor)
    return "too_old" if is_gone else since
