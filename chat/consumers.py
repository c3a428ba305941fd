"""The consumer of the chat's socket, one participant in one conversation: /ws/chat/{conversation_id}/."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from chat import metrics, services
from chat.cursors import MOVES, settle
from chat.errors import NotAParticipantError
from chat.events import CONVERSATION_EVENTS, GUIDE_RENDERING, V1_RENDERING, MessageSent, conversation_topic
from chat.fields import ClientId, Content, ResyncReason
from chat.limits import allow_send
from chat.resuming import conversation_id_of, history_url, membership_of, receipts_in, resumed_from
from chat.selectors import Membership, Share
from chat.send_queue import SendQueue
from chat.services import Cursor, Draft, Outcome, Sent, clean_client_id, clean_content
from guide_dialect.consumer import COMMON_FRAMES, GuideConsumer, ResumingParameters
from guide_dialect.dialect import GuideDialect
from realtime import (
    MAX_INTEGER,
    Command,
    ErrorTold,
    Event,
    Id,
    Moment,
    Position,
    PositionText,
    Ref,
    Rendering,
    Seq,
    Subscription,
    Uuid,
    errors,
)

#: Any integer is looked up; one that is no message's id is answered with `message_not_found`.
MessageId = Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": MAX_INTEGER, "examples": [123]})]


class SendMessage(msgspec.Struct):
    """Send a message. With a `client_id` it is stored once, however often it is sent."""

    message: Content
    client_id: ClientId | None = None


class EditMessage(msgspec.Struct):
    """Change the text of your own message."""

    message_id: MessageId
    message: Content


class DeleteMessage(msgspec.Struct):
    """Delete your own message; a manager of a group may delete any."""

    message_id: MessageId


class MoveCursor(msgspec.Struct):
    """Mark everything up to a seq as read, or as received."""

    up_to_seq: Seq


class Acknowledged(Event, tag="ack", frozen=True):
    """The message is stored. The same `client_id` again gets the same answer, with `duplicate`."""

    ref: Ref
    client_id: Uuid | None
    message_id: Id
    acknowledged_seq: Seq = msgspec.field(name="seq")
    created_at: Moment
    duplicate: bool


class Changed(Event, tag="ack", frozen=True):
    """The message is edited or deleted; `seq` is that of the event that says so."""

    ref: Ref
    changed_seq: Seq = msgspec.field(name="seq")
    message_id: Id


class Subscribed(Event, tag="subscribed", frozen=True):
    """The socket is live: every event after `seq` will come."""

    conversation_id: Id
    subscribed_seq: Seq = msgspec.field(name="seq")
    position: PositionText
    resumed: Annotated[bool, Meta(description="Whether what was missed after `since` came before.")]


class Resync(Event, tag="resync", frozen=True):
    """What was missed is not sent event by event: load it from `url`. The socket is live from `seq` on."""

    conversation_id: Id
    reason: ResyncReason
    url: Annotated[str, Meta(examples=["/api/conversations/123/messages/?after=0"])]
    resync_seq: Seq = msgspec.field(name="seq")
    position: PositionText


class ChatConsumer(GuideConsumer):
    """The socket of one conversation: its messages, members and receipts."""

    kind = "chat"
    guide = GuideDialect(default_command="message")

    membership: Membership
    topic: str = ""

    async def authorize(self) -> None:
        conversation_id = conversation_id_of(self.path["conversation_id"])
        self.membership = membership = await membership_of((self.user_id, conversation_id))
        self.topic = conversation_topic(conversation_id)
        if "since" not in self.query:
            on_live = self._live if self.v1 else None
            self.join(self.topic, position=membership.end, authorized_at=membership.end, on_live=on_live)
            return
        since = await resumed_from(self.query["since"], membership)
        if isinstance(since, str):
            self._resync(since)
        else:
            self.join(self.topic, position=since, authorized_at=membership.end, on_live=self._resumed)

    def rendering_of(self, topic: str) -> Rendering:
        return V1_RENDERING if self.v1 else GUIDE_RENDERING

    def on_access_lost(self, subscription: Subscription) -> None:
        self.refuse(NotAParticipantError())

    def on_misled(self, subscription: Subscription, seq: int) -> None:
        if subscription.topic != self.topic:
            super().on_misled(subscription, seq)
            return
        subscription.end()  # stays ended until the other log is known to be the user's to read
        self.spawn(self._begin_anew(seq))

    async def left(self) -> None:
        if self.topic:
            with suppress(errors.RealtimeError):  # the database is away: cursors are written when it is back
                await settle(self._share)

    # --- messages -----------------------------------------------------------------------------------

    def _send(self, frame: SendMessage, ref: Ref) -> None:
        began = time.monotonic()  # the frame was taken up just now: nothing was awaited since
        client_id = None
        if frame.client_id is not None:
            client_id = clean_client_id(frame.client_id)
            self.opt_in()
        content = clean_content(frame.message)
        allow_send(self.user_id)
        draft = Draft(self.membership.conversation_id, self.user, content, client_id)
        answered = SendQueue.current().submit(draft)
        answered.add_done_callback(lambda future: self._answer(future.result(), client_id, ref, began))

    def _answer(self, outcome: Outcome, client_id: UUID | None, ref: Ref, began: float) -> None:
        if not isinstance(outcome, Sent):
            self._mistake(outcome, ref)
            return
        if client_id is not None or ref is not None:
            self.push(
                Acknowledged(
                    ref=ref,
                    client_id=outcome.client_id,
                    message_id=outcome.message_id,
                    acknowledged_seq=outcome.seq,
                    created_at=outcome.created_at,
                    duplicate=outcome.duplicate,
                )
            )
        metrics.ACK_SECONDS.observe(time.monotonic() - began)

    async def _edit(self, frame: EditMessage, ref: Ref) -> None:
        self.opt_in()  # before the edit, so that the client is told its event too
        allow_send(self.user_id)
        seq = await self.run(
            services.edit_message,
            conversation_id=self.membership.conversation_id,
            message_id=frame.message_id,
            by=self.user,
            content=frame.message,
        )
        self.push(Changed(ref=ref, changed_seq=seq, message_id=frame.message_id))

    async def _delete(self, frame: DeleteMessage, ref: Ref) -> None:
        self.opt_in()
        allow_send(self.user_id)
        seq = await self.run(
            services.delete_message,
            conversation_id=self.membership.conversation_id,
            message_id=frame.message_id,
            by=self.user,
        )
        self.push(Changed(ref=ref, changed_seq=seq, message_id=frame.message_id))

    # --- receipts -----------------------------------------------------------------------------------

    def _read(self, frame: MoveCursor, _ref: Ref) -> None:
        self.opt_in()
        MOVES.note(self._share, Cursor(read=frame.up_to_seq))

    def _delivered(self, frame: MoveCursor, _ref: Ref) -> None:
        self.opt_in()
        MOVES.note(self._share, Cursor(delivered=frame.up_to_seq))

    @property
    def _share(self) -> Share:
        return self.user_id, self.membership.conversation_id

    # --- catching up --------------------------------------------------------------------------------

    def _live(self, place: Position) -> None:
        self._say_subscribed(place, resumed=False)

    def _resumed(self, place: Position) -> None:
        self._say_subscribed(place, resumed=True)
        self.spawn(self._tell_receipts())

    def _say_subscribed(self, place: Position, *, resumed: bool) -> None:
        self.push(
            Subscribed(
                conversation_id=self.membership.conversation_id,
                subscribed_seq=place.seq,
                position=str(place),
                resumed=resumed,
            )
        )

    async def _begin_anew(self, seq: int) -> None:
        """The log has another past: the client has to load the history; a guide client gets what follows."""
        try:
            share = (self.user_id, self.membership.conversation_id)
            self.membership = membership = await membership_of(share)
        except errors.RealtimeError as error:
            self.refuse(error)
            return
        if self.v1:
            self._resync("unknown_position")
        else:
            after = Position(min(max(seq, membership.readable_after), membership.head))
            self.join(self.topic, position=after, authorized_at=membership.end)

    async def _tell_receipts(self) -> None:
        """Send the members' cursors as they are after a resume, since receipts are not kept as events."""
        for batch in await receipts_in(self.membership.conversation_id):
            chunk = batch.chunk_for((self.user_id,))
            await self.outbox.room_for(chunk.size)
            self.outbox.push_batch(chunk)

    def _resync(self, reason: str) -> None:
        """Tell the client to load the history, and what comes after it."""
        membership = self.membership
        self.push(
            Resync(
                conversation_id=membership.conversation_id,
                reason=reason,
                url=history_url(membership),
                resync_seq=membership.head,
                position=str(membership.end),
            )
        )
        self.join(self.topic, position=membership.end, authorized_at=membership.end)

    # --- what a client may ask ----------------------------------------------------------------------

    commands = {
        **GuideConsumer.commands,
        "message": Command(SendMessage, _send, (Acknowledged,)),
        "edit": Command(EditMessage, _edit, (Changed,)),
        "delete": Command(DeleteMessage, _delete, (Changed,)),
        "read": Command(MoveCursor, _read),
        "delivered": Command(MoveCursor, _delivered),
    }
    frames = (*CONVERSATION_EVENTS, Acknowledged, Changed, Subscribed, Resync, *COMMON_FRAMES)
    guide_frames = (MessageSent, ErrorTold)
    parameters = ResumingParameters
