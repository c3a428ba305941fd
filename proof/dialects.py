"""How a client talks to the server under proof: as ours, as the guide's without acks and seqs, or native."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from proof.history import Send
    from proof.member import Member


class About(msgspec.Struct):
    """What a notice is about."""

    conversation_id: int = 0


class Frame(msgspec.Struct):
    """Whatever a socket may be told, in one shape."""

    type: str = ""
    #: On a native socket: where it happened, and the subscription, where the client asked for its name.
    topic: str = ""
    id: int | str | None = None
    seq: int = 0
    #: What to come back with; empty in a frame of an older version.
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
    #: Where all conversations of a native socket stand, by topic.
    positions: dict[str, str] = {}
    data: About | None = None


_decoder = msgspec.json.Decoder(Frame)


def decode(payload: bytes) -> Frame:
    return _decoder.decode(payload)


class Ours:
    """`/ws/chat/{id}/` as a v1 client speaks it: acknowledged sends, resume by position."""

    #: A send that failed is repeated, under the same client id.
    repeats = True
    #: The server says where a socket stands; else it is live as soon as it is open.
    greets = True

    @staticmethod
    def path(member: Member) -> str:
        where = f"/ws/chat/{member.receiver.conversation}/?v=1&token={member.token}"
        return where if member.since is None else f"{where}&since={member.since}"

    @staticmethod
    def say(send: Send, ref: int | str) -> bytes:
        return json.dumps({"message": send.content, "client_id": send.client_id, "ref": ref}).encode()


class Guide:
    """The guide's page: says a text, and knows that it was sent when it comes back.

    On our server it has a token; the guide's own knows nobody.
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
    """`/ws/`: as ours, and every command says the conversation. The socket is a page's, not a member's."""

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
