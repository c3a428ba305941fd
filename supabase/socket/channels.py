"""A channel: one client's membership of a topic, from its join until it leaves."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from changes.filters import QueryError
from changes.reactions import RIGHTS_CHANGED
from presence.events import Entry
from presence.tracker import Room, Tracker
from realtime import Access, Payload, Subscription
from supabase import broadcasts, presence
from supabase.broadcasts import BroadcastFrames
from supabase.changes import Bindings, ChangeFrames, bound
from supabase.presence import PresenceFrames
from supabase.rules import Allowed
from supabase.socket.frames import PREFIX, Push, text_of
from supabase.socket.joining import Wish

if TYPE_CHECKING:
    from supabase.socket.consumer import SupabaseConsumer


class Channel:
    """A membership. Its identity is the socket, the topic and the join, never the user."""

    __slots__ = ("_key", "_room", "access", "allowed", "entry", "join_ref", "push", "socket", "topic", "wish")

    def __init__(
        self, socket: SupabaseConsumer, push: Push, wish: Wish, access: Access, allowed: Allowed
    ) -> None:
        self.socket = socket
        self.topic = push.topic
        self.push = push
        self.join_ref = push.join_ref or push.ref
        self.wish = wish
        self.access = access
        #: What its user may do there; everything, where it is public.
        self.allowed = allowed
        self._key = wish.presence_key
        self._room: Room | None = None
        #: What it says of itself, if it does.
        self.entry: Entry | None = None

    @property
    def name(self) -> str:
        """The name of the channel, as the page gave it."""
        return self.topic.removeprefix(PREFIX)

    @property
    def member(self) -> str:
        """The name of the membership, by which events leave it out."""
        return f"{self.socket.socket_id} {self.join_ref}"

    @property
    def broadcast_topic(self) -> str:
        """The topic of its broadcasts."""
        return broadcasts.topic_of(self.name, private=self.wish.is_private)

    def listen(self) -> None:
        """Receive broadcasts from now on, where the user may read them."""
        if self.allowed.read_broadcasts:
            self.socket.subscribe(
                self.broadcast_topic,
                BroadcastFrames(self.socket.version),
                access=self.access,
                id=self,
                name=self.member,
            )

    # --- who is there -------------------------------------------------------------------------------

    @property
    def room(self) -> Room:
        """The room of the channel, followed from the first call on."""
        if self._room is None:
            name = presence.room_of(self.name, private=self.wish.is_private)
            self._room = Tracker.current().follow(name)
        return self._room

    def show_presence(self) -> None:
        """Tell who is there, and from then on who comes and goes, where the user may see it."""
        if self.allowed.read_presence and self.socket.subscription(self.room.name, self) is None:
            self.tell_presence_soon()

    def tell_presence_soon(self) -> None:
        """Tell who is there, once that is known; again after a change may have been missed."""
        self.socket.spawn(self._tell_presence(self.room))

    async def _tell_presence(self, room: Room) -> None:
        await room.answered.wait()  # what the other processes know
        if self.socket.channels.get(self.topic) is not self:
            return
        # In one turn: what is told from now on is not in the state, and nothing else is missing there.
        if self.socket.subscription(room.name, self) is None:
            rendering = PresenceFrames(self.socket.version, self.topic)
            self.socket.subscribe(room.name, rendering, access=self.access, id=self)
        self.tell("presence_state", presence.listed(room.everybody()))

    def track(self, meta: msgspec.Raw) -> None:
        """Say of itself that it is there, or something else than before."""
        before = self.entry
        if before is not None and before.meta == meta:
            return
        self._key = self._key or str(uuid.uuid4())
        self.entry = Tracker.current().enter(self.room, self._key, meta, before)
        self.show_presence()

    def untrack(self) -> None:
        """Be there no longer."""
        entry, self.entry = self.entry, None
        if entry is not None:
            Tracker.current().exit(self.room, entry)

    # --- changes of rows ----------------------------------------------------------------------------

    def watch(self, several: Iterable[Bindings]) -> None:
        """Tell every change after these positions."""
        for topic, bindings, place in several:
            self.socket.subscribe(
                topic,
                ChangeFrames(self.socket.version, self.topic, bindings),
                access=self.access,
                id=self,
                position=place,
                authorized_at=place,
            )

    def look_again(self, subscription: Subscription, reason: str) -> None:
        """Judge changes by the rights of now; a change that was missed is not told, as nobody can tell it."""
        if reason == RIGHTS_CHANGED:
            self.socket.spawn(self.watch_again())
        else:
            subscription.resume()

    async def watch_again(self) -> None:
        """Look up anew what may be seen, and go on from where each subscription is."""
        watched = [each for each in self.subscriptions() if isinstance(each.rendering, ChangeFrames)]
        for subscription in watched:
            subscription.suspend()
        try:
            found = await self.socket.run(bound, self.access.user_id, self.wish.changes)
        except QueryError as error:
            for subscription in watched:
                subscription.end()
            self.system("error", error.message, extension="postgres_changes")
            return
        if self.socket.channels.get(self.topic) is not self:
            return
        before = {subscription.topic: subscription for subscription in watched}
        for topic, bindings, place in found:
            known = before.pop(topic, None)
            if known is None:
                self.watch([Bindings(topic, bindings, place)])
            else:
                known.render_as(ChangeFrames(self.socket.version, self.topic, bindings))
                known.resume()
        for subscription in before.values():
            subscription.end()

    def move_to(self, access: Access, allowed: Allowed) -> None:
        """Go on with another identity of the client's."""
        places = [
            Bindings(each.topic, each.rendering.bindings, each.place)
            for each in self.subscriptions()
            if isinstance(each.rendering, ChangeFrames)
        ]
        for subscription in self.subscriptions():
            subscription.end()
        before, self.access, self.allowed = self.access, access, allowed
        self.socket.dismiss(before)
        self.listen()
        if self._room is not None:
            self.show_presence()
        self.watch(places)
        for subscription in self.subscriptions():
            if isinstance(subscription.rendering, ChangeFrames):
                subscription.suspend()  # until it is known what this identity may see

    def subscriptions(self) -> list[Subscription]:
        """What it is subscribed to."""
        return [each for each in self.socket.subscriptions() if each.id is self]

    def end(self) -> None:
        """End the membership; the client is told by others."""
        self.untrack()
        room, self._room = self._room, None
        if room is not None:
            Tracker.current().leave(room)
        for subscription in self.subscriptions():
            subscription.end()
        self.socket.dismiss(self.access)

    # --- what the client is told --------------------------------------------------------------------

    def tell(self, event: str, payload: str) -> None:
        """Tell the client something of this membership."""
        self.socket.push(self.socket.version.write(self.topic, event, payload, join_ref=self.join_ref))

    def system(self, status: str, message: str, *, extension: str = "system") -> None:
        """Tell the page how the channel is."""
        said = {"extension": extension, "status": status, "message": message, "channel": self.name}
        self.tell("system", text_of(said))

    def over(self, event: str = "phx_close") -> Payload:
        """The frame that says that this membership, and no later one, is over."""
        return self.socket.version.write(self.topic, event, "{}", ref=self.join_ref, join_ref=self.join_ref)
