"""Conversations, their members and messages, with the constraints that always hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

if TYPE_CHECKING:
    from accounts.models import User


class Conversation(models.Model):
    """Two people, or a group with a title. Its topic `conversation.<id>` orders everything said in it."""

    class Kind(models.TextChoices):
        DIRECT = "direct"
        GROUP = "group"

    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.GROUP)
    title = models.CharField(max_length=200, blank=True, default="")
    #: The two user ids of a direct conversation, the smaller first: there is only one per pair.
    direct_key = models.CharField(max_length=43, null=True, unique=True, editable=False)  # noqa: DJ001 - groups have none, and "" would be one for all
    #: Whether a new member may read what was said before they joined.
    opens_history = models.BooleanField(default=False)
    #: The seq up to which messages were noted in the members' inboxes.
    noticed_seq = models.BigIntegerField(default=0, editable=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    members = models.ManyToManyField(
        settings.AUTH_USER_MODEL, through="Participant", related_name="conversations"
    )

    def __str__(self) -> str:
        return self.title or f"conversation {self.pk}"


class Participant(models.Model):
    """A member of a conversation, with a delivered and a read cursor, which only move forward."""

    class Role(models.TextChoices):
        OWNER = "owner"
        ADMIN = "admin"
        MEMBER = "member"

    conversation = models.ForeignKey(
        Conversation, models.CASCADE, related_name="participants", db_index=False
    )
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="participations")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.MEMBER)
    joined_at = models.DateTimeField(db_default=Now(), editable=False)
    #: The head when the member joined: earlier messages are hidden, unless the history is open.
    joined_seq = models.BigIntegerField(default=0, editable=False)
    delivered_seq = models.BigIntegerField(default=0, editable=False)
    read_seq = models.BigIntegerField(default=0, editable=False)

    #: The user who removes the member, during the removal; None where a row is deleted by other means.
    removed_by: User | None = None

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["conversation", "user"], name="chat_participant_once"),
        ]

    def __str__(self) -> str:
        return f"user {self.user_id} in {self.conversation_id}"

    @property
    def manages(self) -> bool:
        """Whether the member may manage members, the title and others' messages; never in a direct one."""
        is_direct = self.conversation.kind == Conversation.Kind.DIRECT
        return not is_direct and self.role in (self.Role.OWNER, self.Role.ADMIN)


class Departure(models.Model):
    """Where a member last left; kept when they come back, so that positions from before are recognised."""

    conversation = models.ForeignKey(Conversation, models.CASCADE, related_name="departures", db_index=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="departures")
    #: The seq of the user's latest `member_removed`.
    seq = models.BigIntegerField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["conversation", "user"], name="chat_departure_once"),
        ]

    def __str__(self) -> str:
        return f"user {self.user_id} left {self.conversation_id} at {self.seq}"


class Message(models.Model):
    """A message. Its seq is the place of its event in the conversation's log."""

    conversation = models.ForeignKey(Conversation, models.CASCADE, related_name="messages", db_index=False)
    seq = models.BigIntegerField(editable=False)
    # Protected, so that no message loses its sender: `manage.py forget_user` keeps the row, emptied.
    sender = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="messages")
    #: The client's own id for the message: sending it again finds this row.
    client_id = models.UUIDField(null=True, editable=False)
    content = models.TextField(blank=True)
    created_at = models.DateTimeField(editable=False)
    edited_at = models.DateTimeField(null=True, editable=False)
    deleted_at = models.DateTimeField(null=True, editable=False)
    #: The seq of the deletion's event: inboxes that were noted before it still count this message.
    deleted_seq = models.BigIntegerField(null=True, editable=False)
    #: The seqs of the edits in the log, so that deleting the message buries their texts too.
    edit_seqs = models.JSONField(default=list, editable=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["conversation", "seq"], name="chat_message_place"),
            models.UniqueConstraint(
                fields=["conversation", "sender", "client_id"],
                condition=models.Q(client_id__isnull=False),
                name="chat_message_once",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["conversation", "deleted_seq"],
                condition=models.Q(deleted_seq__isnull=False),
                name="chat_message_deleted",
            ),
        ]

    def __str__(self) -> str:
        return f"message {self.pk}"
