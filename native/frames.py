"""The frames that the server sends on the native socket besides events.

The field names are the wire's, and frozen: `docs/protocols/native.md`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType
from rest_framework.serializers import BaseSerializer

from realtime import Count, ErrorTold, Event, Id, Moment, PositionText, Ref, Seq, UnixTime

#: A topic, by the name that clients use.
TopicName = Annotated[str, Meta(max_length=64, examples=["conversation.123"])]
#: The client's id for a subscription, or else its topic.
SubscriptionId = Annotated[
    Ref,
    Meta(
        description="The subscription: what the client calls it, or its topic.", examples=["conversation.123"]
    ),
]
#: The form of what a command or a feed shows: a serializer of REST's, with `many=True` for a list of them;
#: None where it shows nothing.
Shape = type[BaseSerializer[Any]] | BaseSerializer[Any] | None


class Envelope(msgspec.Struct, kw_only=True):
    """The fields in front of an event's own."""

    id: (
        Annotated[Ref, Meta(description="The subscription, where it was asked for (`with_id`).")] | UnsetType
    ) = UNSET
    topic: TopicName


class Me(msgspec.Struct, frozen=True):
    """The user who is signed in."""

    id: Id
    username: Annotated[str, Meta(examples=["ana"])]


class Limits(msgspec.Struct, frozen=True):
    """The limits of this server."""

    frame_bytes: Annotated[Count, Meta(examples=[131_072])]
    subscriptions: Annotated[Count, Meta(examples=[200])]
    content_characters: Annotated[Count, Meta(examples=[8_000])]
    typing_interval_ms: Annotated[Count, Meta(examples=[3_000])]


class Hello(Event, tag="hello", frozen=True):
    """The first frame after signing in."""

    ref: Ref
    session: Annotated[
        str, Meta(description="The name of this socket in the server's log.", examples=["5fb06a1c22d4"])
    ]
    user: Me
    server_time: Moment
    expires_at: Annotated[UnixTime, Meta(description="When the token ends.")]
    ping_interval_ms: Annotated[Count, Meta(examples=[25_000])]
    limits: Limits
    features: Annotated[list[str], Meta(examples=[["conversation", "inbox", "mine"]])]


class AuthRefreshed(Event, tag="auth.refreshed", frozen=True):
    """The socket goes on with the new token, until `expires_at`."""

    ref: Ref
    expires_at: UnixTime


class ServerPing(Event, tag="ping", frozen=True):
    """The connection is alive; `server_time` is the server's clock."""

    server_time: Moment


class Pong(Event, tag="pong", frozen=True):
    """The answer to a client's ping."""

    ref: Ref
    server_time: Moment


class NativeError(ErrorTold, tag="error", frozen=True):
    """A command was refused, or the socket is about to be closed: `code` says why."""

    id: Annotated[Ref, Meta(description="The subscription that it is about, if it is about one.")]


class Ack(Event, tag="ack", frozen=True):
    """The command was obeyed."""

    ref: Ref


class Result(Event, tag="ack", frozen=True):
    """The command was obeyed; `result` is its answer. Each command has its own class, by `result_of`."""

    ref: Ref
    result: Annotated[Any, Meta(description="As REST shows it, without links.")]


class Subscribed(Event, tag="subscribed", frozen=True):
    """The subscription is live: every event after `position` comes."""

    #: How each feed says so, by the first part of its topics.
    of_feeds: ClassVar[dict[str, type[Subscribed]]] = {}

    ref: Ref
    id: SubscriptionId
    topic: TopicName
    seq: Seq
    position: PositionText
    resumed: Annotated[bool, Meta(description="Whether what was missed after `since` came before.")]
    reason: Annotated[
        str | None,
        Meta(description="Why it could not be resumed, where that was asked for.", examples=[None]),
    ] = None
    snapshot: Annotated[Any, Meta(description="What there was at `position`, as REST shows it.")] = None

    @classmethod
    def variants(cls) -> Iterable[type[Event]]:
        return cls.of_feeds.values()


class Resync(Event, tag="resync", frozen=True):
    """What was missed is not sent event by event: load it. Live from `position` on."""

    ref: Ref
    id: SubscriptionId
    topic: TopicName
    reason: Annotated[str, Meta(examples=["unknown_position"])]
    url: Annotated[
        str | None,
        Meta(
            description="The address to load it from; null where a command does: `rows`.",
            examples=["/api/conversations/123/messages/?after=0"],
        ),
    ]
    seq: Seq
    position: PositionText


class Unsubscribed(Event, tag="unsubscribed", frozen=True):
    """The subscription has ended: on request, or because the user may no longer listen (`code`)."""

    ref: Ref
    id: SubscriptionId
    topic: TopicName
    code: Annotated[str | None, Meta(description="Why, where the client did not ask.", examples=[None])] = (
        None
    )


E = TypeVar("E", bound=Event)


def result_of(command: str, shape: Shape, module: str) -> type[Result]:
    """The answer of a command whose `result` has this shape."""
    words = "The command was obeyed." if shape is None else "The command was obeyed; `result` is its answer."
    return _variant(Result, f"{command}.result", module, words, shown_fields={"result": shape})


def subscribed_to(feed: str, base: type[Subscribed], shape: Shape, module: str) -> type[Subscribed]:
    """The answer of a feed, where its `snapshot` has this shape."""
    known: dict[str, Any] = {"topic": {"pattern": rf"^{feed}(\.|$)"}}
    if feed != "conversation":  # which is the example of all topics
        known["topic"]["examples"] = [feed]
    words = base.__doc__ or ""
    return _variant(
        base, f"{feed}.subscribed", module, words, known_fields=known, shown_fields={"snapshot": shape}
    )


def _variant(base: type[E], name: str, module: str, words: str, **known: Any) -> type[E]:
    return msgspec.defstruct(  # type: ignore[return-value]  # typed as any Struct
        name,
        [],
        bases=(base,),
        tag=base.__struct_config__.tag,
        frozen=True,
        kw_only=True,
        module=module,
        namespace={"__doc__": words, **known},
    )
