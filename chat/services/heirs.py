"""Heirs of groups: a group has an owner who can sign in, as long as any of its members can.

The heir is the admin who has been there longest, else the member who has. An owner whose account is disabled
stays one, beside the heir, and manages again once it is enabled.
"""

from __future__ import annotations

from collections.abc import Collection

from accounts.events import user_topic
from accounts.models import User
from chat import selectors
from chat.events import MemberRemoved, MemberRoleChanged
from chat.events import conversation_topic as topic_of
from chat.models import Conversation, Participant
from realtime import announce, announcing, log


@announcing()
def ensure_owners(conversation_ids: Collection[int], *, besides: int | None = None) -> list[Participant]:
    """Make an heir the owner of each of these groups that has no active one; returns the heirs.

    `besides` is a user who is about to be deleted. Doing it twice changes nothing. Five queries, however many
    groups there are.
    """
    topics = log.lock(map(topic_of, conversation_ids), create=False)
    orphans = selectors.without_owner(Conversation.objects.filter(pk__in=conversation_ids), besides=besides)
    heirs = Participant.objects.select_related("user").filter(pk__in=[heir_id for _, heir_id in orphans])
    appointed = list(heirs.order_by("conversation_id"))
    if not appointed:
        return []
    heirs.update(role=Participant.Role.OWNER)
    entries = [
        (
            topic_of(heir.conversation_id),
            MemberRoleChanged(
                user_id=heir.user_id,
                username=heir.user.username,
                role=Participant.Role.OWNER,
                changed_by=None,
                conversation_id=heir.conversation_id,
            ),
        )
        for heir in appointed
    ]
    announce(log.append(entries, locked=topics))
    return appointed


def account_was_switched(*, user_id: int, is_active: bool) -> None:
    """Appoint heirs after an account was disabled or enabled, in the groups that nobody active owns."""
    shares = Participant.objects.filter(user_id=user_id, conversation__kind=Conversation.Kind.GROUP)
    if not is_active:
        shares = shares.filter(role=Participant.Role.OWNER)
    ensure_owners(list(shares.values_list("conversation_id", flat=True)))


def users_will_be_deleted(user_ids: Collection[int]) -> None:
    """Lock all topics that `user_is_deleted` writes to for these users, before it is called for the first."""
    shares = Participant.objects.filter(user__in=user_ids).order_by()
    conversations = shares.values_list("conversation_id", flat=True).distinct()
    log.lock([*map(topic_of, conversations), *map(user_topic, user_ids)], create=False)


@announcing()
def user_is_deleted(user: User) -> None:
    """Tell the conversations of a user whose row is about to go; what they owned has an heir."""
    ids = list(Participant.objects.filter(user=user).values_list("conversation_id", flat=True))
    # Their own topic too, on which their end will be told: a transaction that holds it needs their row.
    topics = log.lock([*map(topic_of, ids), user_topic(user.pk)], create=False)
    entries = [
        (
            topic_of(conversation_id),
            MemberRemoved(
                user_id=user.pk, username=user.username, removed_by=None, conversation_id=conversation_id
            ),
        )
        for conversation_id in ids
    ]
    announce(log.append(entries, locked=topics))
    ensure_owners(ids, besides=user.pk)
