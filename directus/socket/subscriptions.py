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
from realtime import (
    NOTHING,
    Access,
    Delivery,
    Enveloped,
    Position,
    RealtimeError,
    Rendering,
    Subscription,
    UnavailableError,
    log,
)

if TYPE_CHECKING:
    from directus.socket.consumer import DirectusConsumer

#: Why it looks again, beside the reasons of a collection.
IDENTITY_CHANGED = "identity_changed"
#: Looks at a collection whose rights or changes do not come to rest.
MAX_LOOKS = 5


class Watcher:
    """One subscription of a client.

    Whatever it tells, it looked up for the access that the socket has at that moment: if that changed
    meanwhile, it looks again.
    """

    __slots__ = ("_heard", "_is_looking", "_looks_again", "_told", "_watch", "socket", "uid", "wish")

    def __init__(self, socket: DirectusConsumer, uid: str | None, wish: Wish) -> None:
        self.socket = socket
        #: What the client calls it; None where it has no name.
        self.uid = uid
        self.wish = wish
        #: What the client is told, or was told before its rights ended; None before the first `init`.
        self._watch: Watch | None = None
        #: Why to look at the collection again.
        self._looks_again: str | None = None
        self._is_looking = False
        #: How far the client was told when its rights or its identity ended, and how far it listened then.
        self._told: Position | None = None
        self._heard: Position | None = None

    async def begin(self) -> None:
        """Tell the rows that there are, and every change after them; an error refuses the subscription."""
        self._is_looking = True
        try:
            await self._show()
        finally:
            self._is_looking = False
        if self._looks_again:
            self._look_soon(self._looks_again)

    @property
    def is_open(self) -> bool:
        """Whether it is one of its socket's."""
        return self in self.socket.watchers

    def end(self) -> None:
        """Tell nothing more."""
        if (subscription := self._subscription) is not None:
            subscription.end()

    @property
    def _subscription(self) -> Subscription | None:
        return None if self._watch is None else self.socket.subscription(self._watch.topic, self)

    # --- looking again ------------------------------------------------------------------------------

    def look_again(self, subscription: Subscription, reason: str) -> None:
        """Tell the rows anew: what the client was told may no longer hold."""
        self._look_soon(reason)

    def ask_rights_again(self) -> None:
        """Judge it by the rights of another identity, from where it is."""
        if (subscription := self._subscription) is not None:
            self._remember(subscription)
            subscription.end()
        self._look_soon(IDENTITY_CHANGED)

    def _remember(self, subscription: Subscription) -> None:
        self._heard = subscription.place
        if subscription.rendering != NOTHING:
            self._told = subscription.place

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
        except RealtimeError as error:
            self.socket.refuse(error)  # the client comes back, and begins anew: silence would be a lie
        finally:
            self._is_looking = False

    async def _show_again(self, reason: str) -> None:
        access = self.socket.there
        try:
            if reason in (RIGHTS_CHANGED, IDENTITY_CHANGED):
                looked, floor = await self.socket.run(self._look_for_rights, access.user_id)
                if not self.is_open or self.socket.access is not access:
                    return
                if looked.watch == self._watch and self._goes_on(looked, floor):
                    return  # the change was about something else
            await self._show()
        except (UnknownCollectionError, QueryError, ForbiddenError):
            if self.is_open and self.socket.access is access:
                self._fall_silent()

    def _look_for_rights(self, user_id: int | None) -> tuple[Looked, int]:
        looked = look(user_id, self.wish.question)
        return looked, log.floor(looked.watch.topic)

    def _goes_on(self, looked: Looked, floor: int) -> bool:
        """Go on from where it was, since the same is seen; False if that is no longer in the log."""
        subscription = self._subscription
        if self._told is None and subscription is not None:
            subscription.resume()
            return True
        told = self._told
        # The event at a position that was pruned is gone, and its mark cannot be compared any more.
        if told is None or told.seq < floor or (told.mark and told.seq == floor):
            return False
        self._listen(looked, told)
        return True

    def _fall_silent(self) -> None:
        """Tell nothing while nothing may be seen, but listen: rights may come back.

        An error would end all loops of the client.
        """
        subscription = self._subscription
        if subscription is not None:
            self._remember(subscription)
            subscription.render_as(NOTHING)
            subscription.resume()
        elif self._watch is not None and self._heard is not None:
            self.socket.subscribe(
                self._watch.topic,
                NOTHING,
                access=self.socket.there,
                id=self,
                position=self._heard,
                authorized_at=self._heard,
            )

    # --- rows ---------------------------------------------------------------------------------------

    async def _show(self) -> None:
        for _ in range(MAX_LOOKS):
            access, self._looks_again = self.socket.there, None
            try:
                looked, others, place = await self._look_and_come_in(access)
            except LookAgainError:
                continue
            if await self._tell(looked, others, access):
                self._listen(looked, place)
                return
            if not self.is_open:
                return
        raise UnavailableError("The collection does not come to rest; try again later.")

    async def _look_and_come_in(self, access: Access) -> tuple[Looked, list[Sequence[Delivery]], Position]:
        shows_rows = self.wish.event is None and not self.wish.is_flat
        needs_rows = shows_rows or self.wish.question.key is not None
        looked = await self.socket.run(
            look,
            access.user_id,
            self.wish.question,
            page=self.wish.page if needs_rows else None,
            counted=bool(self.wish.counts) and shows_rows,
        )
        if self.wish.question.key is not None and not looked.rows:
            raise ForbiddenError
        if not shows_rows:
            return looked, [], looked.place
        return looked, *await come_in(looked, access.user_id, self.socket.run)

    async def _tell(self, looked: Looked, others: list[Sequence[Delivery]], access: Access) -> bool:
        """Tell what was found; False if the socket has another access by then, or the subscription ended."""
        rendering = Watching(looked.watch, self._frames)
        frames = [self._init(looked), *(each for write in others for each in rendering.payloads(write))]
        for frame in frames:
            text = frame if self.uid is None else Uid(self.uid).wrap(frame)
            await self.socket.outbox.room_for(len(text))
            if not self.is_open or self.socket.access is not access:
                return False
            self.socket.push(text)
        return True

    def _init(self, looked: Looked) -> str:
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
        return encode(said)

    def _listen(self, looked: Looked, place: Position) -> None:
        self._watch, self._told, self._heard = looked.watch, None, None
        self.socket.subscribe(
            looked.watch.topic,
            self._rendering(looked.watch),
            access=self.socket.there,
            id=self,
            position=place,
            authorized_at=looked.place,
        )

    @property
    def _frames(self) -> ChangeFrames:
        wish = self.wish
        return ChangeFrames(wish.event, wish.question.key is not None, wish.is_flat)

    def _rendering(self, watch: Watch) -> Rendering:
        rendering = Watching(watch, self._frames)
        return rendering if self.uid is None else Enveloped(rendering, Uid(self.uid))
