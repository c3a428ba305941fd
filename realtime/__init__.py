"""The core of Relais, and its door: everything that an app may import, and what each part is for.

    from realtime import Event, publish_on_commit, topic

    class Shipped(Event, tag="shipped", frozen=True):
        order_id: int
        seq: int = 0  # filled in by the log, which keeps the event

    publish_on_commit(topic("orders", 7), Shipped(order_id=42))

Apps import from here and, in their tests, from `realtime.testing`. Inside there are rooms, each with its
purpose in its docstring: `servers` on `sockets` on `hub` on `bells` and `log`, and below them `wire`, `http`,
`database`, `metrics` and `process`. `docs/architecture.md` draws them.

A name is loaded when it is first asked for: models cannot be imported before the apps are ready.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from realtime import errors, events, log
    from realtime.checks import TAG
    from realtime.chores import daily, delete_some
    from realtime.database import outages, time_budget
    from realtime.database.batch_loader import BatchLoader
    from realtime.database.id_ranges import id_ranges
    from realtime.database.indexes import AddIndexBesideWriters
    from realtime.database.one_moment import one_moment
    from realtime.database.threads import run_in_background, run_in_thread
    from realtime.database.time_budget import (
        ANSWER_SECONDS,
        LOCK_SECONDS,
        QUEUE_SECONDS,
        SHORT_LOCK_SECONDS,
        remaining,
    )
    from realtime.defaults import conf
    from realtime.errors import (
        AccountDisabledError,
        BusyError,
        CloseCode,
        InvalidFrameError,
        InvalidInputError,
        InvalidJsonError,
        InvalidTextError,
        NotAllowedError,
        NotFoundError,
        OverloadedError,
        RateLimitedError,
        RealtimeError,
        RestartingError,
        SessionRevokedError,
        TokenExpiredError,
        TooBigError,
        TooSlowError,
        UnauthenticatedError,
        UnavailableError,
        UncertainError,
        is_outage,
    )
    from realtime.events import Delivery, Event, Logged
    from realtime.fields import (
        ADDED,
        MAX_INTEGER,
        Count,
        Id,
        Moment,
        PositionText,
        Ref,
        Seq,
        Text,
        UnixTime,
        Uuid,
    )
    from realtime.http.addresses import client_address, counted_address
    from realtime.http.converters import IdConverter
    from realtime.http.documents import Document, DocumentView, hash_for_policy
    from realtime.http.metrics import REQUESTS_REFUSED
    from realtime.http.openapi import gives, path_id, path_uuid, problems, refuses, takes
    from realtime.http.origins import is_listed, is_own
    from realtime.http.problems import PROBLEM_JSON, problem, problem_of, retry_after
    from realtime.http.queries import QuerySerializer
    from realtime.http.shapes import Shape, declare_shape, shape_of
    from realtime.http.slices import NO_NUMBERS, slice_of
    from realtime.http.throttling import CountingThrottle, Limit, RestThrottle
    from realtime.http.views import PublicView
    from realtime.hub.hub import Hub
    from realtime.hub.reactions import Told, acts_on, reacts_to
    from realtime.hub.rendering import EVERYTHING, NOTHING, Enveloped, Frame, OnlyTypes, Rendering
    from realtime.hub.subscription import Subscription
    from realtime.json_input import clean_text, id_in, parse_json, ref_of
    from realtime.log import LockedTopic, positions, statements
    from realtime.log.positions import START, Position
    from realtime.metrics.instruments import LATENCY_SECONDS, Counter, Gauge, Histogram
    from realtime.models import LoggedEvent, Topic
    from realtime.process import background
    from realtime.process.background import runs_with_hub
    from realtime.publishing import announce, announcing, publish_now, publish_on_commit
    from realtime.rates import Bucket, Buckets
    from realtime.sockets.access import Access, Identity
    from realtime.sockets.commands import Command, Commands, named_command
    from realtime.sockets.connection import Connection
    from realtime.sockets.dialect import BARRIER, INLINE, Dialect, ErrorTold, JsonErrors, Refusal, Request
    from realtime.topics import foreign_topic, topic, user_topic
    from realtime.wire.batch import FrameBatch
    from realtime.wire.frames import Payload

#: The module of each name. The imports above say the same to the type checker, and a test holds both
#: together.
_ROOMS: dict[str, tuple[str, ...]] = {
    # Topics and events.
    "realtime.topics": (
        "topic",
        "user_topic",
        "foreign_topic",
    ),
    "realtime.events": (
        "Delivery",
        "Event",
        "Logged",
    ),
    "realtime.fields": (
        "ADDED",
        "MAX_INTEGER",
        "Count",
        "Id",
        "Moment",
        "PositionText",
        "Ref",
        "Seq",
        "Text",
        "UnixTime",
        "Uuid",
    ),
    "realtime.publishing": (
        "announce",
        "announcing",
        "publish_now",
        "publish_on_commit",
    ),
    # The log.
    "realtime.models": (
        "LoggedEvent",
        "Topic",
    ),
    "realtime.log": ("LockedTopic",),
    "realtime.log.positions": (
        "START",
        "Position",
    ),
    # Subscriptions, and the renderings of their events.
    "realtime.hub.hub": ("Hub",),
    "realtime.hub.reactions": (
        "Told",
        "acts_on",
        "reacts_to",
    ),
    "realtime.hub.rendering": (
        "EVERYTHING",
        "NOTHING",
        "Enveloped",
        "Frame",
        "OnlyTypes",
        "Rendering",
    ),
    "realtime.hub.subscription": ("Subscription",),
    # Sockets.
    "realtime.sockets.access": (
        "Access",
        "Identity",
    ),
    "realtime.sockets.commands": (
        "Command",
        "Commands",
        "named_command",
    ),
    "realtime.sockets.connection": ("Connection",),
    "realtime.sockets.dialect": (
        "BARRIER",
        "INLINE",
        "Dialect",
        "ErrorTold",
        "JsonErrors",
        "Refusal",
        "Request",
    ),
    "realtime.wire.batch": ("FrameBatch",),
    "realtime.wire.frames": ("Payload",),
    "realtime.json_input": (
        "clean_text",
        "id_in",
        "parse_json",
        "ref_of",
    ),
    # REST.
    "realtime.http.addresses": (
        "client_address",
        "counted_address",
    ),
    "realtime.http.converters": ("IdConverter",),
    "realtime.http.documents": (
        "Document",
        "DocumentView",
        "hash_for_policy",
    ),
    "realtime.http.metrics": ("REQUESTS_REFUSED",),
    "realtime.http.openapi": (
        "gives",
        "path_id",
        "path_uuid",
        "problems",
        "refuses",
        "takes",
    ),
    "realtime.http.origins": ("is_listed", "is_own"),
    "realtime.http.problems": (
        "PROBLEM_JSON",
        "problem",
        "problem_of",
        "retry_after",
    ),
    "realtime.http.queries": ("QuerySerializer",),
    "realtime.http.shapes": (
        "Shape",
        "declare_shape",
        "shape_of",
    ),
    "realtime.http.slices": (
        "NO_NUMBERS",
        "slice_of",
    ),
    "realtime.http.throttling": (
        "CountingThrottle",
        "Limit",
        "RestThrottle",
    ),
    "realtime.http.views": ("PublicView",),
    # The database.
    "realtime.database.batch_loader": ("BatchLoader",),
    "realtime.database.id_ranges": ("id_ranges",),
    "realtime.database.indexes": ("AddIndexBesideWriters",),
    "realtime.database.one_moment": ("one_moment",),
    "realtime.database.threads": (
        "run_in_background",
        "run_in_thread",
    ),
    "realtime.database.time_budget": (
        "ANSWER_SECONDS",
        "LOCK_SECONDS",
        "QUEUE_SECONDS",
        "SHORT_LOCK_SECONDS",
        "remaining",
    ),
    # Work beside the sockets, limits, settings and numbers.
    "realtime.process.background": ("runs_with_hub",),
    "realtime.chores": (
        "daily",
        "delete_some",
    ),
    "realtime.checks": ("TAG",),
    "realtime.defaults": ("conf",),
    "realtime.rates": (
        "Bucket",
        "Buckets",
    ),
    "realtime.metrics.instruments": (
        "LATENCY_SECONDS",
        "Counter",
        "Gauge",
        "Histogram",
    ),
    # Errors.
    "realtime.errors": (
        "AccountDisabledError",
        "BusyError",
        "CloseCode",
        "InvalidFrameError",
        "InvalidInputError",
        "InvalidJsonError",
        "InvalidTextError",
        "NotAllowedError",
        "NotFoundError",
        "OverloadedError",
        "RateLimitedError",
        "RealtimeError",
        "RestartingError",
        "SessionRevokedError",
        "TokenExpiredError",
        "TooBigError",
        "TooSlowError",
        "UnauthenticatedError",
        "UnavailableError",
        "UncertainError",
        "is_outage",
    ),
}
_MODULES = (
    "realtime.errors",
    "realtime.events",
    "realtime.log",
    "realtime.log.positions",
    "realtime.log.statements",
    "realtime.process.background",
    "realtime.database.outages",
    "realtime.database.time_budget",
)

_MODULE_OF = {name: module for module, names in _ROOMS.items() for name in names}
_PATH_OF = {path.rpartition(".")[2]: path for path in _MODULES}


if not TYPE_CHECKING:  # the type checker refuses what is not imported above

    def __getattr__(name: str) -> object:
        if name in _PATH_OF:
            found: object = importlib.import_module(_PATH_OF[name])
        elif name in _MODULE_OF:
            found = getattr(importlib.import_module(_MODULE_OF[name]), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted([*_MODULE_OF, *_PATH_OF])
