"""Forgetting typists: after the time they announced, and as soon as their message arrives.

Both happen in the process that listens, so a typist whose process was killed cannot stick.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

from realtime import events
from realtime.audience import Subscriber
from realtime.events import Delivery
from realtime.hub import Hub
from realtime.reactions import reacts_to
from typing_indicator.events import TYPING_TTL_SECONDS, typing, typing_topic

#: (topic, user) → when this process tells its sockets that the typing is over.
_expiries: dict[tuple[asyncio.AbstractEventLoop, str, int], asyncio.TimerHandle] = {}


@reacts_to("typing")
def remember_typist(delivery: Delivery, subscribers: Collection[Subscriber]) -> None:
    """Restart the typist's time, or forget them."""
    loop = asyncio.get_running_loop()
    key = (loop, delivery.topic, delivery.fields["user_id"])
    if (expiry := _expiries.pop(key, None)) is not None:
        expiry.cancel()
    if delivery.fields["is_typing"]:
        _expiries[key] = loop.call_later(TYPING_TTL_SECONDS, _stop, *key, dict(delivery.fields))


def forget_sender(message: Mapping[str, Any]) -> None:
    """Who has sent is not typing that message any more."""
    key = (asyncio.get_running_loop(), typing_topic(message["conversation_id"]), message["sender_id"])
    if (expiry := _expiries.get(key)) is not None:
        expiry.cancel()
        _stop(*key, {**message, "username": message["sender_username"], "user_id": message["sender_id"]})


def _stop(loop: asyncio.AbstractEventLoop, topic: str, user_id: int, last: dict[str, object]) -> None:
    _expiries.pop((loop, topic, user_id), None)
    audience = Hub.current().audience(topic)
    if audience is not None:
        over = typing(
            username=str(last["username"]),
            user_id=user_id,
            conversation_id=int(str(last["conversation_id"])),
            is_typing=False,
        )
        audience.receive(Delivery(topic, None, events.encode(over)))
