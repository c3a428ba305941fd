"""What the server says on the native socket besides events: greetings, answers, and how subscriptions stand.

The field names are the wire's, and frozen: `docs/protocols/native.md`.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec

from realtime import Event, Ref


class Me(msgspec.Struct, frozen=True):
    """Who is signed in."""

    id: int
    username: str


class Limits(msgspec.Struct, frozen=True):
    """What this server takes."""

    frame_bytes: int
    subscriptions: int
    content_characters: int
    typing_interval_ms: int


class Hello(Event, tag="hello", frozen=True):
    """The first thing told to whoever is signed in."""

    ref: Ref
    #: The name of this socket in the server's log.
    session: str
    user: Me
    server_time: dt.datetime
    #: When the token ends, in Unix time.
    expires_at: int
    ping_interval_ms: int
    limits: Limits
    features: list[str]


class AuthRefreshed(Event, tag="auth.refreshed", frozen=True):
    """The socket goes on with the new token."""

    ref: Ref
    expires_at: int


class ServerPing(Event, tag="ping", frozen=True):
    """The connection is alive, and this is the server's time."""

    server_time: dt.datetime


class Pong(Event, tag="pong", frozen=True):
    """The answer to a client's ping."""

    ref: Ref
    server_time: dt.datetime


class Ack(Event, tag="ack", frozen=True):
    """What was asked for is done."""

    ref: Ref


class Result(Event, tag="ack", frozen=True):
    """What was asked for."""

    ref: Ref
    result: Any


class Subscribed(Event, tag="subscribed", frozen=True):
    """The subscription is live; every event after `position` comes."""

    ref: Ref
    id: Ref
    topic: str
    seq: int
    position: str
    #: Whether everything after `since` was told before.
    resumed: bool
    #: Why it was not, where it could not be.
    reason: str | None = None
    #: What there was at `position`.
    snapshot: Any = None


class Resync(Event, tag="resync", frozen=True):
    """What was missed cannot be told event by event; load what is at `url`, and go on from `position`."""

    ref: Ref
    id: Ref
    topic: str
    reason: str
    url: str
    seq: int
    position: str


class Unsubscribed(Event, tag="unsubscribed", frozen=True):
    """The subscription is over: as asked, or because the right to listen was lost (`code`)."""

    ref: Ref
    id: Ref
    topic: str
    code: str | None = None
