"""Client dialects: a v1 client, a page of the guide without acks and seqs, and a native client."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from proof.history import Send
    from proof.member import Member


class About(msgspec.Struct):
    """The `data` of a notice: the object it is about."""

    conversation_id: int = 0


class Frame(msgspec.Struct):
    """Any frame that a server may send, with the fields of all of them."""

    type: str = ""
    #: On a native socket: the topic, and the subscription's id if the client asked for it.
    topic: str = ""
    id: int | str | None = None
    seq: int = 0
    #: The position to resume from; empty in a frame of an older version.
    position: str = ""
    message_id: int | None = 0
    #: Null in an edit that also reaches members who may not read the message.
    content: str | None = ""
    client_id: str | None = None
    ref: int | str | None = None
    code: str | None = ""
    duplicate: bool = False
    retryable: bool = False
    retry_after_ms: int | None = None
    resumed: bool = False
    reason: str | None = ""
    user_id: int = 0
    conversation_id: int = 0
    conversation_seq: int = 0
    #: The positions of all conversations of `mine`, by topic.
    positions: dict[str, str] = {}
    data: About | None = None


_decoder = msgspec.json.Decoder(Frame)


def decode(payload: bytes) -> Frame:
    return _decoder.decode(payload)


class Ours:
    """The dialect of a v1 client on `/ws/chat/{id}/`: acknowledged sends, resume by position."""

    #: Whether a failed send is repeated, under the same client id.
    repeats = True
    #: Whether the server says when a socket is live; else it is live once it is open.
    greets = True

    @staticmethod
    def path(member: Member) -> str:
        where = f"/ws/chat/{member.receiver.conversation}/?v=1&token={member.token}"
        return where if member.since is None else f"{where}&since={member.since}"

    @staticmethod
    def say(send: Send, ref: int | str) -> bytes:
        return json.dumps({"message": send.content, "client_id": send.client_id, "ref": ref}).encode()


class Guide:
    """The dialect of the guide's page: it sends a text, and takes it for sent when it comes back.

    On Relais it has a token; the guide's own server knows no users.
    """

    repeats = False
    greets = False

    @staticmethod
    def path(member: Member) -> str:
        where = f"/ws/chat/{member.receiver.conversation}/"
        return f"{where}?token={member.token}" if member.token else where

    @staticmethod
    def say(send: Send, _ref: int | str) -> bytes:
        return json.dumps({"message": send.content}).encode()


class Native:
    """The dialect of a client on `/ws/`: like `Ours`, but each command names its conversation.

    A socket belongs to a page, not to a member.
    """

    repeats = True
    greets = True

    @staticmethod
    def path(_member: Member) -> str:
        raise TypeError("a page connects, and its members are subscribed")

    @staticmethod
    def say(send: Send, ref: int | str) -> bytes:
        fields = {"conversation_id": send.conversation, "message": send.content, "client_id": send.client_id}
        return json.dumps({"type": "send", "ref": ref, **fields}).encode()


Dialect = type[Ours] | type[Guide] | type[Native]
