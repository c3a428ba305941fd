"""Creating and renaming conversations."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

from django.db import IntegrityError

from accounts.errors import UnknownUserError
from accounts.events import user_topic
from accounts.models import User
from chat.errors import DirectConversationError, NotAParticipantError, TooManyMembersError
from chat.events import ConversationJoined, ConversationRenamed, conversation_topic
from chat.models import Conversation, Participant
from realtime import NotAllowedError, announcing, clean_text, log, publish_on_commit

#: Each new member gets an event on their own topic; a larger audience needs another design.
MAX_MEMBERS = 10_000
MAX_TITLE_LENGTH = 200


def create_conversation(
    *,
    creator: User,
    participants: Sequence[User],
    title: str = "",
    opens_history: bool = False,
    conversation_id: int | None = None,
) -> Conversation:
    """Open a conversation, like `open_conversation`, and return it alone."""
    return open_conversation(
        creator=creator,
        participants=participants,
        title=title,
        opens_history=opens_history,
        conversation_id=conversation_id,
    )[0]


def open_conversation(
    *,
    creator: User,
    participants: Sequence[User],
    title: str = "",
    opens_history: bool = False,
    conversation_id: int | None = None,
) -> tuple[Conversation, bool]:
    """Open a conversation of the creator and others; returns it, and whether it is new.

    With one other and no title it is direct, and there is one per pair of users; else it is a group.
    """
    others = list({user.pk: user for user in participants if user.pk != creator.pk}.values())
    if len(others) >= MAX_MEMBERS:
        raise TooManyMembersError
    title = clean_text(title, max_length=MAX_TITLE_LENGTH).strip()
    if title or len(others) != 1:
        group = Conversation(pk=conversation_id, title=title, created_by=creator, opens_history=opens_history)
        with users_are_known([creator, *others]):
            return _create(group, creator, others), True
    low, high = sorted((creator.pk, others[0].pk))
    key = f"{low}:{high}"
    existing = Conversation.objects.filter(direct_key=key).first()
    if existing is not None:
        return existing, False
    direct = Conversation(
        pk=conversation_id,
        kind=Conversation.Kind.DIRECT,
        direct_key=key,
        created_by=creator,
        opens_history=True,
    )
    with users_are_known([creator, *others]):
        try:
            return _create(direct, creator, others), True
        except IntegrityError:  # perhaps the other user opened it at the same moment
            with suppress(Conversation.DoesNotExist):
                return Conversation.objects.get(direct_key=key), False
            raise


@contextmanager
def users_are_known(users: Collection[User]) -> Iterator[None]:
    """Around a transaction that adds members: raises UnknownUserError if one was deleted meanwhile."""
    try:
        yield
    except IntegrityError:
        if User.objects.filter(pk__in={user.pk for user in users}).count() == len(users):
            raise
        raise UnknownUserError from None


@announcing()
def _create(conversation: Conversation, creator: User, others: list[User]) -> Conversation:
    conversation.save(force_insert=True)
    log.lock([conversation_topic(conversation.pk)])  # creates the topic, so that no send has to
    direct = conversation.kind == Conversation.Kind.DIRECT
    Participant.objects.bulk_create(
        [
            Participant(conversation=conversation, user=creator, role=Participant.Role.OWNER),
            *[
                Participant(
                    conversation=conversation,
                    user=user,
                    role=Participant.Role.OWNER if direct else Participant.Role.MEMBER,
                )
                for user in others
            ],
        ],
        batch_size=1000,
    )
    for user in (creator, *others):
        joined = ConversationJoined(
            conversation_id=conversation.pk,
            title=conversation.title,
            kind=conversation.kind,
            conversation_seq=0,
        )
        publish_on_commit(user_topic(user.pk), joined)
    return conversation


@announcing()
def rename_conversation(*, conversation_id: int, by: User, title: str) -> Conversation:
    """Rename a group and, once that is committed, tell the conversation."""
    # Checked under the lock, so that the right to rename still holds at the commit.
    log.lock([conversation_topic(conversation_id)], create=False)
    conversation = managed_by(conversation_id=conversation_id, by=by).conversation
    set_title(conversation=conversation, by=by, title=title)
    return conversation


@announcing()
def set_title(*, conversation: Conversation, by: User, title: str) -> None:
    """Change a title as the site's staff, who need not be members."""
    log.lock([conversation_topic(conversation.pk)], create=False)
    conversation.title = clean_text(title, max_length=MAX_TITLE_LENGTH).strip()
    conversation.save(update_fields=["title"])
    event = ConversationRenamed(title=conversation.title, renamed_by=by.pk, conversation_id=conversation.pk)
    publish_on_commit(conversation_topic(conversation.pk), event)


def managed_by(*, conversation_id: int, by: User) -> Participant:
    """The user's own participation in a group that they manage; else an error that says why they may not."""
    participant = (
        Participant.objects.select_related("conversation")
        .filter(conversation_id=conversation_id, user=by)
        .first()
    )
    if participant is None:
        raise NotAParticipantError
    if participant.conversation.kind == Conversation.Kind.DIRECT:
        raise DirectConversationError
    if not participant.manages:
        raise NotAllowedError("Only owners and admins may do this.")
    return participant
