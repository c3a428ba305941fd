"""Notices without a row or a publish per person: topics of other apps that notifications sockets listen to.

An app registers a source. Its topics are joined by the sockets of whoever may hear them; a notice is
worded once per event, language and process, and handed to everybody but the one it is about.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from notifications import kinds
from realtime import events
from realtime.events import Delivery
from realtime.hub.reactions import reacts_to
from realtime.hub.rendering import Framing
from realtime.hub.subscription import Subscriber


@dataclass(frozen=True, slots=True)
class Notice:
    """What an event means to those who listen: a notification that is shown and not stored."""

    kind: str
    data: Mapping[str, Any]
    #: Values of the kind's placeholders that are no part of the data.
    variables: Mapping[str, object] = field(default_factory=dict)
    #: The user who is not told: it is their own doing.
    not_for: int | None = None


class Source(Protocol):
    """An app's topics, and what their events mean."""

    #: The type of the event on `user.<id>` that says that the user may hear one topic more. A user who may
    #: no longer hear one is detached by a reaction of the app, at the event that says so.
    entered_on: str

    def topics(self, user_id: int, limit: int) -> dict[str, int]:
        """What the user may hear, the most recent first, each with its head. Uses the database."""

    def notice(self, delivery: Delivery) -> Notice | None:
        """What an event on one of these topics says, if anything. Runs on the loop: no database, no wait."""

    def entered(self, delivery: Delivery) -> tuple[str, int]:
        """The topic that such an event opens, and the seq after which it may be heard."""


class Listener:
    """A socket that follows its user into new topics."""

    def follow(self, source: Source, topic: str, *, after: int) -> None:
        """The user's own topic said that they may hear `topic` after seq `after`."""
        raise NotImplementedError


_sources: list[Source] = []


def register_source(source: Source) -> None:
    """Let notifications sockets listen to an app's topics; called once, when the app is ready."""
    if source not in _sources:
        _sources.append(source)
        reacts_to(source.entered_on)(partial(_follow, source))


def topics_for(user_id: int, *, limit: int) -> list[tuple[Source, str, int]]:
    """The topics of all sources that a user may hear, with their heads; each source's latest first."""
    found: list[tuple[Source, str, int]] = []
    for source in _sources:
        heads = source.topics(user_id, limit - len(found))
        found += [(source, topic, head) for topic, head in heads.items()][: limit - len(found)]
    return found


def _follow(source: Source, delivery: Delivery, subscribers: Iterable[Subscriber]) -> None:
    topic, after = source.entered(delivery)
    for subscriber in subscribers:
        if isinstance(subscriber.socket, Listener):
            subscriber.socket.follow(source, topic, after=after)


class NoticeFraming:
    """Words a source's events in one language."""

    def __init__(self, source: Source, language: str) -> None:
        self._source = source
        self._language = language
        #: Of the event that is being handed out; `not_for` is asked right after `frame`.
        self._delivery: Delivery | None = None
        self._notice: Notice | None = None

    def frame(self, delivery: Delivery) -> str | None:
        notice = self._notice_of(delivery)
        return None if notice is None else self._worded(notice)

    def not_for(self, delivery: Delivery) -> int | None:
        notice = self._notice_of(delivery)
        return None if notice is None else notice.not_for

    def _notice_of(self, delivery: Delivery) -> Notice | None:
        if delivery is not self._delivery:
            self._notice, self._delivery = self._source.notice(delivery), delivery
        return self._notice

    def _worded(self, notice: Notice) -> str:
        kind = kinds.get(notice.kind)
        text = kind.text({**notice.data, **notice.variables}, language=self._language)
        # The guide's frame and no more: what is not stored has no id, and no place in the user's own log.
        frame = {"type": kind.name, "title": text.title, "message": text.message, "data": notice.data}
        return events.encode(frame)


_framings: dict[tuple[Source, str], Framing] = {}


def framing_for(source: Source, language: str) -> Framing:
    """The one framing of a source and a language, so that everybody shares its frames."""
    return _framings.setdefault((source, language), NoticeFraming(source, language))
