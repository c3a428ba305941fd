"""Sources: topics of other apps that notifications sockets follow, so that a notice costs no row per user.

An app registers a source. Notifications sockets join those of its topics that their user may read; a notice
is worded once per event, language and process, and shown to everybody but the user whose doing it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from notifications import kinds
from notifications.events import Noticed, of_kind
from realtime import Delivery, Frame, Subscription, Told, acts_on, events


@dataclass(frozen=True, slots=True)
class Notice:
    """A notification that is shown and not stored: what an event means to those who follow its topic."""

    kind: str
    data: Mapping[str, Any]
    #: Values of the kind's placeholders that are no part of the data.
    variables: Mapping[str, object] = field(default_factory=dict)
    #: The user who is not told, because it is their own doing.
    not_for: int | None = None


class Source(Protocol):
    """An app's topics, and what their events mean."""

    #: The type of the event on `user.<id>` which says that the user may read one topic more. When they lose
    #: one, a reaction of the app ends the subscriptions, at the event that says so.
    entered_on: str

    def topics(self, user_id: int, limit: int) -> dict[str, int]:
        """The topics that the user may read, the most recent first, each with its head. Uses the database."""

    def notice(self, delivery: Delivery) -> Notice | None:
        """The notice of an event on one of these topics, if any. Runs on the loop: no database, no wait."""

    def entered(self, delivery: Delivery) -> tuple[str, int]:
        """The topic that an event of type `entered_on` opens, and the seq after which it may be read."""


class FollowsSources:
    """A socket, or the id of a subscription, that follows its user into new topics."""

    def follow(self, source: Source, own: Subscription, topic: str, *, after: int) -> None:
        """Follow `topic` after seq `after`: an event on the user's own topic, told to `own`, allows it."""
        raise NotImplementedError


_sources: list[Source] = []


def register_source(source: Source) -> None:
    """Let notifications sockets listen to an app's topics; called once, when the app is ready."""
    if source not in _sources:
        _sources.append(source)
        acts_on(source.entered_on)(partial(_follow, source))


def topics_for(user_id: int, *, limit: int) -> list[tuple[Source, str, int]]:
    """The topics of all sources that a user may read, with their heads; each source's latest first."""
    found: list[tuple[Source, str, int]] = []
    for source in _sources:
        heads = source.topics(user_id, limit - len(found))
        found += [(source, topic, head) for topic, head in heads.items()][: limit - len(found)]
    return found


def _follow(source: Source, delivery: Delivery, told: Told) -> None:
    topic, after = source.entered(delivery)
    for subscription in told.everyone():
        for follower in (subscription.id, subscription.socket):
            if isinstance(follower, FollowsSources):
                follower.follow(source, subscription, topic, after=after)


@dataclass(frozen=True, slots=True)
class NoticeRendering:
    """Renders a source's events in one language, for everybody but the user whose doing each is."""

    source: Source
    language: str

    def render(self, write: Sequence[Delivery]) -> Iterable[Frame]:
        for event in write:
            notice = self.source.notice(event)
            if notice is not None:
                yield Frame(self._worded(notice), () if notice.not_for is None else (notice.not_for,))

    def _worded(self, notice: Notice) -> str:
        kind = kinds.get(notice.kind)
        text = kind.text({**notice.data, **notice.variables}, language=self.language)
        # The guide's frame and no more: what is not stored has no id, and no seq in the user's own log.
        shown = of_kind(kind.name, Noticed)
        return events.encode(shown(title=text.title, message=text.message, data=dict(notice.data)))
