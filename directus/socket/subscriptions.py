"""A subscription: rows that there are (`init`), and every change after them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from changes.errors import UnknownCollectionError
from changes.filters import QueryError
from changes.reactions import RIGHTS_CHANGED
from changes.watches import LookAgainError, Looked, Watch, Watching, come_in, look
from directus.errors import ForbiddenError
from directus.socket.asking import Wish
from directus.socket.frames import ChangeFrames, Uid, encode
from realtime import Delivery, Enveloped, Position, RealtimeError, Rendering, Subscription, UnavailableError

if TYPE_CHECKING:
    from directus.socket.consumer import DirectusConsumer

#: Why it looks again, beside the reasons of a collection.
IDENTITY_CHANGED = "identity_changed"
#: Looks at a collection whose rights or changes do not come to rest.
MAX_LOOKS = 5


class Watcher:
    """One subscription of a client."""

    __slots__ = ("_is_looking", "_looks_again", "_paused", "_place", "_watch", "socket", "uid", "wish")

    def __init__(self, socket: DirectusConsumer, uid: str | None, wish: Wish) -> None:
        self.socket = socket
        #: What the client calls it; None where it has no name.
        self.uid = uid
        self.wish = wish
        self._watch: Watch | None = None
        #: Why to look at the collection again, and the subscription that waits for it.
        self._looks_again: str | None = None
        self._paused: Subscription | None = None
        self._is_looking = False
        #: How far it was told when its identity ended.
        self._place: Position | None = None

    async def begin(self) -> None:
        """Tell the rows that there are, and every change after them; an error refuses the subscription."""
        looked, others, place = await self._look_and_come_in()
        if not self.is_open:
            return
        await self._tell_rows(looked)
        for write in others:
            for payload in Watching(looked.watch, self._frames).payloads(write):
                await self._push(payload)
        if not self.is_open:
            return
        self._listen(looked, place)

    def _listen(self, looked: Looked, place: Position) -> None:
        self._watch, self._place = looked.watch, None
        self.socket.subscribe(
            looked.watch.topic,
            self._rendering(looked.watch),
            access=self.socket.there,
            id=self,
            position=place,
            authorized_at=looked.place,
        )

    @property
    def is_open(self) -> bool:
        """Whether it is one of its socket's."""
        return self in self.socket.watchers

    def end(self) -> None:
        """Tell nothing more."""
        self._end_subscription()

    # --- looking again ------------------------------------------------------------------------------

    def look_again(self, subscription: Subscription, reason: str) -> None:
        """Tell the rows anew: what the client was told may no longer hold."""
        self._paused = subscription
        self._look_soon(reason)

    def ask_rights_again(self) -> None:
        """Judge it by the rights of another identity, from where it is."""
        for subscription in self.socket.subscriptions():
            if subscription.id is self:
                self._place = subscription.place
                subscription.end()
        self._look_soon(IDENTITY_CHANGED)

    def _look_soon(self, reason: str) -> None:
        self._looks_again = reason
        if not self._is_looking:
            self._is_looking = True
            self.socket.spawn(self._look_until_it_holds())

    async def _look_until_it_holds(self) -> None:
        try:
            while self.is_open and (reason := self._looks_again):
                self._looks_again = None
                await self._show_again(reason)
        finally:
            self._is_looking = False

    async def _show_again(self, reason: str) -> None:
        paused = self._paused
        try:
            if reason in (RIGHTS_CHANGED, IDENTITY_CHANGED):
                looked = await self.socket.run(look, self.socket.user_id, self.wish.question)
                if looked.watch == self._watch and self._goes_on(looked, paused):
                    return  # the change was about something else
            self._end_subscription()
            await self.begin()
        except (UnknownCollectionError, QueryError, ForbiddenError):
            # Nothing is told as long as nothing may be seen. An error would end all loops of the client.
            self._remember_place()
            self._end_subscription()
        except RealtimeError:
            self.socket.forget_watcher(self)

    def _goes_on(self, looked: Looked, paused: Subscription | None) -> bool:
        """Go on from where it was, if it is the same that is seen."""
        if not self.is_open:
            return True
        if self._place is not None:
            self._listen(looked, self._place)
            return True
        if paused is not None and paused.access is self.socket.there:
            paused.resume()
            return True
        return False

    def _remember_place(self) -> None:
        for subscription in self.socket.subscriptions():
            if subscription.id is self:
                self._place = subscription.place

    def _end_subscription(self) -> None:
        for subscription in self.socket.subscriptions():
            if subscription.id is self:
                subscription.end()

    # --- rows ---------------------------------------------------------------------------------------

    @property
    def _frames(self) -> ChangeFrames:
        wish = self.wish
        return ChangeFrames(wish.event, wish.question.key is not None, wish.is_flat)

    def _rendering(self, watch: Watch) -> Rendering:
        rendering = Watching(watch, self._frames)
        return rendering if self.uid is None else Enveloped(rendering, Uid(self.uid))

    async def _look_and_come_in(self) -> tuple[Looked, list[Sequence[Delivery]], Position]:
        shows_rows = self.wish.event is None and not self.wish.is_flat
        needs_rows = shows_rows or self.wish.question.key is not None
        for _ in range(MAX_LOOKS):
            user_id = self.socket.user_id
            looked = await self.socket.run(
                look,
                user_id,
                self.wish.question,
                page=self.wish.page if needs_rows else None,
                counted=bool(self.wish.counts) and shows_rows,
            )
            if self.wish.question.key is not None and not looked.rows:
                raise ForbiddenError
            if not shows_rows:
                return looked, [], looked.place
            try:
                return looked, *await come_in(looked, user_id, self.socket.run)
            except LookAgainError:
                continue
        raise UnavailableError("The collection does not come to rest; try again later.")

    async def _tell_rows(self, looked: Looked) -> None:
        said: dict[str, Any] = {
            "type": "subscription",
            "event": "init",
            "collection": looked.watch.collection,
        }
        if self.wish.event is None and not self.wish.is_flat:
            said["data"] = looked.rows[0] if self.wish.question.key is not None else looked.rows
            if looked.counts is not None:
                counts = {"total_count": looked.counts.total, "filter_count": looked.counts.matching}
                said["meta"] = {name: counts[name] for name in self.wish.counts}
        await self._push(encode(said))

    async def _push(self, payload: Any) -> None:
        text = payload if self.uid is None else Uid(self.uid).wrap(payload)
        await self.socket.outbox.room_for(len(text))
        if self.is_open:  # nothing follows the answer to `unsubscribe`
            self.socket.push(text)
