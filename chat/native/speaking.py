"""Commands of the native socket that write in conversations: messages, their changes, and cursors."""

from __future__ import annotations

import time
from contextlib import suppress

import msgspec

from chat import answers, metrics
from chat.cursors import MOVES, settle
from chat.events import conversation_topic
from chat.fields import ClientId, Content
from chat.limits import allow_send
from chat.resuming import membership_of
from chat.selectors import Share
from chat.send_queue import SendQueue
from chat.services import Cursor, Draft, Outcome, Sent, clean_client_id, clean_content
from native.commands import on_loop
from native.consumer import NativeConsumer
from native.dialect import Asked
from native.frames import Ack
from realtime import Id, Moment, RealtimeError, Seq, Uuid


class Send(msgspec.Struct):
    """Send a message to a conversation."""

    conversation_id: Id
    message: Content
    client_id: ClientId | None = None


class Edit(msgspec.Struct):
    """Edit your own message."""

    conversation_id: Id
    message_id: Id
    message: Content


class Delete(msgspec.Struct):
    """Delete a message: your own, or as a manager any."""

    conversation_id: Id
    message_id: Id


class MoveCursor(msgspec.Struct):
    """Mark everything up to a seq as read, or as received."""

    conversation_id: Id
    up_to_seq: Seq


class SentAck(Ack, tag="ack", frozen=True):
    """The message is stored. The same `client_id` again gets the same answer, with `duplicate`."""

    client_id: Uuid | None
    message_id: Id
    seq: Seq
    created_at: Moment
    duplicate: bool


class ChangedAck(Ack, tag="ack", frozen=True):
    """The message is edited or deleted; `seq` is that of the event that says so."""

    seq: Seq
    message_id: Id


@on_loop("send", Send, SentAck)
def send(socket: NativeConsumer, wish: Send, asked: Asked) -> None:
    """Send a message; the answer comes after the commit."""
    began = time.monotonic()
    client_id = None if wish.client_id is None else clean_client_id(wish.client_id)
    content = clean_content(wish.message)
    allow_send(socket.user_id)
    answered = SendQueue.current().submit(Draft(wish.conversation_id, socket.user, content, client_id))
    answered.add_done_callback(lambda future: _answer(socket, future.result(), asked, began))


def _answer(socket: NativeConsumer, outcome: Outcome, asked: Asked, began: float) -> None:
    if not isinstance(outcome, Sent):
        socket.mistake(outcome, asked)
        return
    socket.push(
        SentAck(
            ref=asked.ref,
            client_id=outcome.client_id,
            message_id=outcome.message_id,
            seq=outcome.seq,
            created_at=outcome.created_at,
            duplicate=outcome.duplicate,
        )
    )
    metrics.ACK_SECONDS.observe(time.monotonic() - began)


@on_loop("edit", Edit, ChangedAck)
async def edit(socket: NativeConsumer, wish: Edit, asked: Asked) -> None:
    seq = await socket.run(
        answers.edit, socket.user, wish.conversation_id, wish.message_id, content=wish.message
    )
    socket.push(ChangedAck(ref=asked.ref, seq=seq, message_id=wish.message_id))


@on_loop("delete", Delete, ChangedAck)
async def delete(socket: NativeConsumer, wish: Delete, asked: Asked) -> None:
    seq = await socket.run(answers.delete, socket.user, wish.conversation_id, wish.message_id)
    socket.push(ChangedAck(ref=asked.ref, seq=seq, message_id=wish.message_id))


class SocketCursors:
    """The conversations whose cursors one socket has moved; their last moves are written when it closes."""

    def __init__(self, socket: NativeConsumer) -> None:
        self._socket = socket
        self._shares: set[Share] = set()

    async def move(self, conversation_id: int, cursor: Cursor) -> None:
        """Note a move; it is written a moment later, joined with the moves after it."""
        share = self._socket.user_id, conversation_id
        if not self._socket.covers(conversation_topic(conversation_id)):
            await membership_of(share)
        MOVES.note(share, cursor)
        self._shares.add(share)

    async def close(self) -> None:
        """Write the last moves, when the socket closes."""
        for share in self._shares:
            with suppress(RealtimeError):  # the database is away: cursors are written when it is back
                await settle(share)


@on_loop("read", MoveCursor)
async def read(socket: NativeConsumer, wish: MoveCursor, asked: Asked) -> None:
    await socket.keep(SocketCursors).move(wish.conversation_id, Cursor(read=wish.up_to_seq))
    socket.acknowledge(asked)


@on_loop("delivered", MoveCursor)
async def delivered(socket: NativeConsumer, wish: MoveCursor, asked: Asked) -> None:
    await socket.keep(SocketCursors).move(wish.conversation_id, Cursor(delivered=wish.up_to_seq))
    socket.acknowledge(asked)
