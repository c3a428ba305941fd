"""Adding and removing members and changing roles; reading begins and ends at the seqs of these events."""

from __future__ import annotations

from collections.abc import Sequence

from accounts.events import user_topic
from accounts.models import User
from chat import selectors
from chat.errors import DirectConversationError, NotAParticipantError, TooManyMembersError
from chat.events import ConversationJoined, ConversationLeft, MemberAdded, MemberRemoved, MemberRoleChanged
from chat.events import conversation_topic as topic_of
from chat.models import Conversation, Departure, Participant
from chat.services.conversations import MAX_MEMBERS, managed_by, users_are_known
from chat.services.heirs import ensure_owners
from chat.services.unread import COLLAPSE_KEY
from notifications.collapsed import read_collapsed
from realtime import NotAllowedError, NotFoundError, announce, announcing, log, publish_on_commit

Role = Participant.Role


def add_members(
    *, conversation_id: int, by: User, users: Sequence[User], role: str = Role.MEMBER
) -> list[Participant]:
    """Add users to a group, who may read from here on; present members stay as they are."""
    people = list({user.pk: user for user in users}.values())
    with users_are_known(people):
        return _add(conversation_id, by, people, role)


@announcing()
def _add(conversation_id: int, by: User, users: Sequence[User], role: str) -> list[Participant]:
    topics = log.lock([topic_of(conversation_id)], create=False)
    manager = managed_by(conversation_id=conversation_id, by=by)
    if role != Role.MEMBER and manager.role != Role.OWNER:
        # Otherwise an admin could change roles by removing users and adding them again.
        raise NotAllowedError("Only an owner may make owners and admins.")
    members = Participant.objects.filter(conversation_id=conversation_id)
    present = set(members.filter(user__in=users).values_list("user_id", flat=True))
    new = [user for user in users if user.pk not in present]
    if members.count() + len(new) > MAX_MEMBERS:
        raise TooManyMembersError

    added = []
    for user in new:
        event = MemberAdded(
            user_id=user.pk,
            username=user.username,
            role=role,
            added_by=by.pk,
            conversation_id=conversation_id,
        )
        logged = log.append([(topic_of(conversation_id), event)], locked=topics)
        announce(logged)
        seq = logged[0].seq or 0
        added.append(
            # A new member has read their own arrival, and may read what follows.
            Participant(
                conversation_id=conversation_id,
                user=user,
                role=role,
                joined_seq=seq,
                delivered_seq=seq,
                read_seq=seq,
            )
        )
        joined = ConversationJoined(
            conversation_id=conversation_id,
            title=manager.conversation.title,
            kind=manager.conversation.kind,
            conversation_seq=seq,
        )
        publish_on_commit(user_topic(user.pk), joined)
    return Participant.objects.bulk_create(added)


@announcing()
def remove_member(*, conversation_id: int, by: User, user_id: int) -> None:
    """Remove a member, or leave; the member's sockets are sent this event as the last one."""
    log.lock([topic_of(conversation_id)], create=False)
    leaving = by.pk == user_id
    mine = (
        Participant.objects.select_related("conversation")
        .filter(conversation_id=conversation_id, user=by)
        .first()
    )
    if mine is None:
        raise NotAParticipantError
    if mine.conversation.kind == Conversation.Kind.DIRECT:
        raise DirectConversationError
    if not leaving and not mine.manages:
        raise NotAllowedError("Only owners and admins may remove members.")
    member = mine if leaving else _member(conversation_id, user_id)
    if not leaving and member.role != Role.MEMBER and mine.role != Role.OWNER:
        raise NotAllowedError("Only an owner may remove owners and admins.")

    member.removed_by = by
    member.delete()


def will_be_removed(member: Participant) -> None:
    """Lock the topics that `was_removed` writes to, before the row is locked: docs/subsystems/locks.md."""
    log.lock([topic_of(member.conversation_id), user_topic(member.user_id)])


@announcing()
def was_removed(member: Participant) -> None:
    """Announce a deleted membership, whoever deleted it; to the member it is the last event."""
    conversation_id, user = member.conversation_id, member.user
    topics = log.lock([topic_of(conversation_id), user_topic(user.pk)])
    # The unread entry counts messages that this user can no longer read.
    read_collapsed(user_id=user.pk, collapse_key=COLLAPSE_KEY.format(conversation_id))
    event = MemberRemoved(
        user_id=user.pk,
        username=user.username,
        removed_by=member.removed_by.pk if member.removed_by else None,
        conversation_id=conversation_id,
    )
    logged = log.append([(topic_of(conversation_id), event)], locked=topics)
    announce(logged)
    _keep_departure(conversation_id, user, logged[0].seq or 0)
    publish_on_commit(user_topic(user.pk), ConversationLeft(conversation_id=conversation_id))
    if member.role == Role.OWNER:
        ensure_owners([conversation_id])


@announcing()
def change_role(*, conversation_id: int, by: User, user_id: int, role: str) -> Participant:
    """Give a member another role. Only owners may, and the last owner who can sign in stays one."""
    log.lock([topic_of(conversation_id)], create=False)
    mine = managed_by(conversation_id=conversation_id, by=by)
    if mine.role != Role.OWNER:
        raise NotAllowedError("Only an owner may change roles.")
    member = _member(conversation_id, user_id)
    others = selectors.active_owners(conversation_id).exclude(pk=member.pk)
    if member.role == Role.OWNER and role != Role.OWNER and not others.exists():
        raise NotAllowedError("A group keeps at least one owner who can sign in.")
    if member.role != role:
        _set_role(member, role, by=by)
    return member


def _keep_departure(conversation_id: int, user: User, seq: int) -> None:
    """Store where a member left, in case they come back."""
    Departure.objects.bulk_create(
        [Departure(conversation_id=conversation_id, user=user, seq=seq)],
        update_conflicts=True,
        unique_fields=["conversation", "user"],
        update_fields=["seq"],
    )


def _member(conversation_id: int, user_id: int) -> Participant:
    member = (
        Participant.objects.select_related("user")
        .filter(conversation_id=conversation_id, user_id=user_id)
        .first()
    )
    if member is None:
        raise NotFoundError("This user is not a member.")
    return member


def _set_role(member: Participant, role: str, *, by: User) -> None:
    member.role = role
    member.save(update_fields=["role"])
    event = MemberRoleChanged(
        user_id=member.user_id,
        username=member.user.username,
        role=role,
        changed_by=by.pk,
        conversation_id=member.conversation_id,
    )
    publish_on_commit(topic_of(member.conversation_id), event)
