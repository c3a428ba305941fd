"""Telling conversations that a member has another name."""

from __future__ import annotations

from accounts.models import User
from chat.events import MemberRenamed, conversation_topic
from chat.models import Participant
from realtime import log
from realtime.publishing import announce, announcing

#: Conversations that are told in one transaction: each of them is held for the milliseconds that it takes.
TOLD_TOGETHER = 100


def tell_new_name(*, user_id: int) -> int:
    """Tell every conversation of a user the name that they have now; how many those are.

    After the commit of the name, and not in its transaction: that one holds the user's row, for which those
    wait who store messages of theirs and hold a conversation, for which it would wait. A few statements for
    each hundred conversations, and an event in each conversation: no message costs anything for it.
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
    # Under the locks: who was removed, or renamed once more, meanwhile is not told of as they were.
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
