"""Heirs: a group has an owner who can sign in, as long as any of its members can.

The heir is the admin who has been a member longest, else the member who has. An owner whose account is
disabled stays an owner beside the heir, and manages again once the account is enabled.
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
    """Make an heir the owner of each of these groups that has no active owner; returns the heirs.

    `besides` is a user who is about to be deleted. A second call changes nothing. Five queries, however many
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
    """Appoint heirs in the groups of a disabled or enabled account that no active user owns."""
    shares = Participant.objects.filter(user_id=user_id, conversation__kind=Conversation.Kind.GROUP)
    if not is_active:
        shares = shares.filter(role=Participant.Role.OWNER)
    ensure_owners(list(shares.values_list("conversation_id", flat=True)))


def users_will_be_deleted(user_ids: Collection[int]) -> None:
    """Before the first of these users is deleted, lock all topics that `user_is_deleted` will write to."""
    shares = Participant.objects.filter(user__in=user_ids).order_by()
    conversations = shares.values_list("conversation_id", flat=True).distinct()
    log.lock([*map(topic_of, conversations), *map(user_topic, user_ids)], create=False)


@announcing()
def user_is_deleted(user: User) -> None:
    """Before a user's row is deleted, tell their conversations and appoint heirs where they owned a group."""
    ids = list(Participant.objects.filter(user=user).values_list("conversation_id", flat=True))
    # The user's own topic too, to which their end will be published: who holds that topic needs the user's
    # row.
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
