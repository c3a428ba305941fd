"""The typists of a process: the users whose typing its sockets show, and until when.

A typist is forgotten after the announced time, or when their message arrives. The process of the listeners
does both, so that typing ends even if the typist's own process was killed.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from chat.events import conversation_topic
from realtime import Delivery, Hub, events
from typing_indicator.events import TYPING_TTL_SECONDS, typing, typing_topic


class _Typist(NamedTuple):
    """A user who types, as this process remembers it."""

    #: The timer that tells this process's sockets that the user stopped.
    expiry: asyncio.TimerHandle
    #: The conversation's seq when the user began: only a later message ends the typing.
    began_at: int


_typists: dict[tuple[asyncio.AbstractEventLoop, str, int], _Typist] = {}


def is_typing_here(topic: str, user_id: int) -> bool:
    """Whether the sockets of this process show that a user types."""
    return (asyncio.get_running_loop(), topic, user_id) in _typists


def remember_typist(delivery: Delivery) -> None:
    """Restart a typist's timer, or forget a typist who stopped."""
    loop = asyncio.get_running_loop()
    key = (loop, delivery.topic, delivery.fields["user_id"])
    if (typist := _typists.pop(key, None)) is not None:
        typist.expiry.cancel()
    if delivery.fields["is_typing"]:
        expiry = loop.call_later(TYPING_TTL_SECONDS, _stop, *key, dict(delivery.fields))
        conversation = Hub.current().audience(conversation_topic(delivery.fields["conversation_id"]))
        _typists[key] = _Typist(expiry, conversation.position or 0 if conversation else 0)


def forget_sender(delivery: Delivery) -> None:
    """Forget the typist whose message arrived, so that their next keystroke is announced again."""
    if not _typists:
        return  # the usual case; the message is not even parsed
    message = delivery.fields
    key = (asyncio.get_running_loop(), typing_topic(message["conversation_id"]), message["sender_id"])
    typist = _typists.get(key)
    # A socket that resumes may read a message here that is older than the typing.
    if typist is not None and typist.began_at < (delivery.seq or 0):
        typist.expiry.cancel()
        _stop(*key, {**message, "username": message["sender_username"], "user_id": message["sender_id"]})


def _stop(loop: asyncio.AbstractEventLoop, topic: str, user_id: int, last: dict[str, object]) -> None:
    _typists.pop((loop, topic, user_id), None)
    audience = Hub.current().audience(topic)
    if audience is not None:
        over = typing(
            username=str(last["username"]),
            user_id=user_id,
            conversation_id=int(str(last["conversation_id"])),
            is_typing=False,
        )
        audience.receive(Delivery(topic, None, events.encode(over)))
