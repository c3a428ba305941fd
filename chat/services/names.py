"""Users' new names are told to their conversations, and their former names taken out of the logs."""

from __future__ import annotations

import re

from django.db.models import Q

from accounts.models import User
from chat.events import MemberRenamed, conversation_topic
from chat.models import Participant
from realtime import LoggedEvent, Topic, announce, announcing, events, id_ranges, log

#: Events of one conversation rewritten in one transaction.
REWRITTEN_TOGETHER = 500
#: Conversations told in one transaction, which holds each of them for the milliseconds that it takes.
TOLD_TOGETHER = 100


def tell_new_name(*, user_id: int) -> int:
    """Tell every conversation of a user their present name; returns the number of conversations.

    Runs after the name's transaction, which holds the user's row: a send of theirs that holds a conversation
    waits for that row, while the renaming would wait for the conversation. It takes a few statements per
    hundred conversations and one event in each; the number of messages does not matter.
    """
    told = above = 0
    while count := len(ids := _conversations_of(user_id, above)):
        _tell(user_id, ids)
        told, above = told + count, ids[-1]
    return told


def _conversations_of(user_id: int, above: int) -> list[int]:
    shares = Participant.objects.filter(user_id=user_id, conversation_id__gt=above).order_by(
        "conversation_id"
    )
    return list(shares.values_list("conversation_id", flat=True)[:TOLD_TOGETHER])


@announcing()
def _tell(user_id: int, conversation_ids: list[int]) -> None:
    topics = log.lock(map(conversation_topic, conversation_ids), create=False)
    # Read under the locks, because the user may have been removed or renamed again meanwhile.
    username = User.objects.values_list("username", flat=True).filter(pk=user_id).first()
    if username is None:
        return
    shares = Participant.objects.filter(user_id=user_id, conversation_id__in=conversation_ids)
    entries = [
        (
            conversation_topic(conversation_id),
            MemberRenamed(user_id=user_id, username=username, conversation_id=conversation_id),
        )
        for conversation_id in shares.order_by("conversation_id").values_list("conversation_id", flat=True)
    ]
    announce(log.append(entries, locked=topics))


def forget_name(user: User) -> int:
    """Replace a user's former names in the logs by the present one; returns the number of events.

    The events keep their seqs and all other bytes, so that a client that resumes is told the same. Reads the
    logs of all conversations, because no row knows where the user once was a member.
    """
    rewritten = 0
    for above, up_to in id_ranges(Topic.objects.filter(name__startswith="conversation.")):
        named = LoggedEvent.objects.filter(_naming(user), topic_id__gt=above, topic_id__lte=up_to)
        for topic in named.order_by().values_list("topic__name", flat=True).distinct():
            after = 0
            while seqs := _rewrite(topic, user, after):
                rewritten, after = rewritten + len(seqs), seqs[-1]
    return rewritten


#: The fields of events with a user's id, and the fields with that user's name.
_FIELDS = {"sender_id": "sender_username", "user_id": "username"}


def _beginning(number: str, name: str, user: User) -> str:
    return f'"{number}":{user.pk},"{name}":'


def _naming(user: User) -> Q:
    """The condition for events that give the user another name than the present one."""
    wrong = Q()
    for field in _FIELDS.items():
        beginning, name = _beginning(*field, user), events.encode_text(user.username)
        wrong |= Q(body__contains=f'{beginning}"') & ~Q(body__contains=beginning + name)
    return wrong


@announcing()
def _rewrite(topic: str, user: User, after: int) -> list[int]:
    log.lock([topic], create=False)  # otherwise a deletion meanwhile would be undone
    named = LoggedEvent.objects.filter(_naming(user), topic__name=topic, seq__gt=after).order_by("seq")
    bodies = dict(named.values_list("seq", "body")[:REWRITTEN_TOGETHER])
    for field in _FIELDS.items():
        beginning, name = _beginning(*field, user), events.encode_text(user.username)
        other = re.compile(re.escape(beginning) + r'"(?:[^"\\]|\\.)*"')
        # The replacement has no backslash, since it is JSON of a name without any.
        bodies = {seq: other.sub(beginning + name, body) for seq, body in bodies.items()}
    log.rewrite(topic, bodies)
    return list(bodies)
