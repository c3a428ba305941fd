"""Examines conversations: each has a log, a direct one names its members, no log lacks a conversation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from accounts.models import User
from chat.doctor.logs import end_of, topics_of
from chat.models import Conversation, Participant
from doctor.examinations import Finding, examination, snapshot
from realtime import Topic, id_ranges

_PREFIX = "conversation."


@examination(
    remedy="Correct these columns of chat_conversation by hand; for a missing topic, insert one whose floor "
    "and head are the conversation's last seq. A topic without conversation may be deleted with its events."
)
def conversations() -> Iterator[Finding]:
    """Each conversation has a topic and is noted up to its head at most; a direct one names its members."""
    for above, up_to in id_ranges(Conversation.objects.all()):
        with snapshot():
            found = list(_wrong_conversations(above, up_to))
        yield from found
    for above, up_to in id_ranges(Topic.objects.filter(name__startswith=_PREFIX)):
        with snapshot():
            found = list(_topics_of_nothing(above, up_to))
        yield from found


def _wrong_conversations(above: int, up_to: int) -> Iterator[Finding]:
    rows = list(Conversation.objects.filter(pk__gt=above, pk__lte=up_to).order_by("pk"))
    topics = topics_of([row.pk for row in rows])
    pairs = _pairs([row.pk for row in rows if row.kind == Conversation.Kind.DIRECT])
    for row in rows:
        where = {"conversation": row.pk}
        topic = topics.get(row.pk)
        if topic is None:
            yield Finding("a conversation has no topic", where, f"the topic {_PREFIX}{row.pk}", "none")
        elif not 0 <= row.noticed_seq <= end_of(topic):
            expected = f"noticed_seq from 0 to {end_of(topic)}"
            yield Finding(
                "inboxes were noted beyond the head", where, expected, f"noticed_seq {row.noticed_seq}"
            )
        if row.kind not in Conversation.Kind.values:
            kinds = " or ".join(Conversation.Kind.values)
            yield Finding(
                "a conversation is of no kind", where, kinds, f"a kind of {len(row.kind)} characters"
            )
        elif row.kind == Conversation.Kind.GROUP and row.direct_key is not None:
            yield Finding(
                "a group has the key of a pair", where, "no direct_key", f"direct_key {row.direct_key}"
            )
        elif row.kind == Conversation.Kind.DIRECT and (fault := _fault_of_key(row, pairs[row.pk])):
            yield Finding("a direct conversation is not named for its pair", where, *fault)


def _pairs(conversation_ids: list[int]) -> dict[int, set[int]]:
    pairs: dict[int, set[int]] = defaultdict(set)
    rows = Participant.objects.filter(conversation_id__in=conversation_ids)
    for conversation_id, user_id in rows.values_list("conversation_id", "user_id"):
        pairs[conversation_id].add(user_id)
    return pairs


def _fault_of_key(row: Conversation, members: set[int]) -> tuple[str, str] | None:
    """What a wrong key should be, and what it is. A deleted user may be missing from the members."""
    found = f"direct_key {row.direct_key}, members {sorted(members)[:3]}"
    low, colon, high = (row.direct_key or "").partition(":")
    if not (colon and low.isdecimal() and high.isdecimal() and int(low) < int(high)):
        return "direct_key 'lower:higher'", found
    named = {int(low), int(high)}
    if named == members:
        return None
    existing = set(User.objects.filter(pk__in=named).values_list("pk", flat=True))
    return None if existing == members else ("the members that direct_key names", found)


def _topics_of_nothing(above: int, up_to: int) -> Iterator[Finding]:
    names = Topic.objects.filter(pk__gt=above, pk__lte=up_to, name__startswith=_PREFIX)
    numbers = {name.removeprefix(_PREFIX): name for name in names.values_list("name", flat=True)}
    ids = {int(number) for number in numbers if number.isdecimal()}  # other names are topics of an app's own
    for lost in sorted(ids - set(Conversation.objects.filter(pk__in=ids).values_list("pk", flat=True))):
        where = {"topic": f"{_PREFIX}{lost}"}
        yield Finding("a log belongs to no conversation", where, f"conversation {lost}", "none")
