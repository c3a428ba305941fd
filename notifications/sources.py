"""Sources: topics of other apps that notifications sockets follow, so that a notice costs no row per user.

An app registers a source. Notifications sockets subscribe to those of its topics that their user may read. A
notice is worded once per event, language and process; the user who caused the event does not see it.
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
    """A notification that is shown and not stored: the meaning of an event for those who follow its topic."""

    kind: str
    data: Mapping[str, Any]
    #: Values of placeholders of the kind that are no part of the data.
    variables: Mapping[str, object] = field(default_factory=dict)
    #: The user who caused the event, and does not see the notice.
    not_for: int | None = None


class Source(Protocol):
    """An app's topics, and the notices that their events become."""

    #: The type of the event on `user.<id>` by which the user may read one more topic. When the user may no
    #: longer read a topic, a reaction of the app ends the subscriptions at the event that says so.
    entered_on: str

    def topics(self, user_id: int, limit: int) -> dict[str, int]:
        """The topics that the user may read, the latest first, each with its head. Uses the database."""

    def notice(self, delivery: Delivery) -> Notice | None:
        """The notice of an event on one of the topics, if any. Runs on the loop: no database, no waiting."""

    def entered(self, delivery: Delivery) -> tuple[str, int]:
        """The topic that an `entered_on` event opens to the user, and the seq after which to read it."""


class FollowsSources:
    """The consumer or feed of a subscription that follows its user into new topics."""

    def follow(self, source: Source, own: Subscription, topic: str, *, after: int) -> None:
        """Follow `topic` after seq `after`; `own` is the user's subscription that received the event."""
        raise NotImplementedError


_sources: list[Source] = []


def register_source(source: Source) -> None:
    """Register an app's source; called once, when the app is ready."""
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
    """Renders the notices of a source in one language; a notice skips the user who caused the event."""

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
        # Only the guide's fields: a notice that is not stored has no id, and no seq in the user's own log.
        shown = of_kind(kind.name, Noticed)
        return events.encode(shown(title=text.title, message=text.message, data=dict(notice.data)))
