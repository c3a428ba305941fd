"""What a client asks of a channel when it joins, read as leniently as its own server reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client asks of a channel."""

    is_private: bool = False
    #: Whether its own broadcasts come back to it, and whether each is answered.
    echoes: bool = False
    acknowledges: bool = False
    wants_replication_told: bool = False
    #: The replay that it asks for, as it came.
    replay: Any = None
    presence_key: str = ""
    shows_presence: bool = False
    #: Its subscriptions to changes, as they came.
    changes: tuple[dict[str, Any], ...] = ()
    #: Whether the join fails if one of them is not valid.
    waits: bool = False
    #: Its own token; None for that of the socket.
    token: Any = field(default=None, repr=False)


def wish_of(payload: Any) -> Wish:
    """The wish in the payload of a join; what has another shape than it should counts as left out."""
    said = _object(payload)
    config = _object(said.get("config"))
    broadcast, presence = _object(config.get("broadcast")), _object(config.get("presence"))
    key = presence.get("key")
    token = said.get("access_token", said.get("user_token"))
    return Wish(
        is_private=_flag(config.get("private")),
        echoes=_flag(broadcast.get("self")),
        acknowledges=_flag(broadcast.get("ack")),
        wants_replication_told=_flag(broadcast.get("replication_ready")),
        replay=broadcast.get("replay"),
        presence_key=key if isinstance(key, str) else "",
        shows_presence=_flag(presence.get("enabled")),
        changes=tuple(each for each in _list(config.get("postgres_changes")) if isinstance(each, dict)),
        waits=_flag(_object(config.get("postgres_changes_options")).get("wait")),
        token=token,
    )


def _object(given: Any) -> Mapping[str, Any]:
    return given if isinstance(given, dict) else {}


def _list(given: Any) -> list[Any]:
    return given if isinstance(given, list) else []


def _flag(given: Any) -> bool:
    """A boolean, or the text of one."""
    return given is True or (isinstance(given, str) and given.lower() == "true")
