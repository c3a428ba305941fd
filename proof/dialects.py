"""How a client talks to the server under proof: ours, or the guide's, which knows neither acks nor seqs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from proof.history import Send
    from proof.member import Member


class Frame(msgspec.Struct):
    """Whatever a chat socket may be told, in one shape."""

    type: str = ""
    seq: int = 0
    #: What to come back with; empty in a frame of an older version.
    position: str = ""
    message_id: int | None = 0
    #: Null in an edit that also reaches members who may not read the message.
    content: str | None = ""
    client_id: str | None = None
    ref: int | str | None = None
    code: str = ""
    duplicate: bool = False
    retryable: bool = False
    retry_after_ms: int | None = None
    resumed: bool = False
    reason: str = ""


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
    def say(send: Send, ref: int) -> bytes:
        return json.dumps({"message": send.content, "client_id": send.client_id, "ref": ref}).encode()


class Guide:
    """The guide's page: says a text, and knows that it was sent when it comes back."""

    repeats = False
    greets = False

    @staticmethod
    def path(member: Member) -> str:
        return f"/ws/chat/{member.receiver.conversation}/"

    @staticmethod
    def say(send: Send, _ref: int) -> bytes:
        return json.dumps({"message": send.content}).encode()


Dialect = type[Ours] | type[Guide]
