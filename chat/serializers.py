"""The serializers of conversations: they check the shape of input, and show rows as the sockets do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID

from rest_framework import serializers

from chat import services
from chat.events import conversation_topic
from chat.models import Conversation, Participant
from chat.queries import SeqField
from chat.selectors import Membership, ShownMessage
from realtime import InvalidFrameError, positions

MAX_PARTICIPANTS_PER_REQUEST = 100


class TextField(serializers.CharField):
    """A text; unlike CharField, it takes no number for a text, as the sockets do not."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


class ClientIdField(serializers.UUIDField):
    """A client's own id for a message; unlike UUIDField, it takes only the forms that the sockets take."""

    def to_internal_value(self, data: Any) -> UUID:
        try:
            return services.clean_client_id(data)
        except InvalidFrameError:
            self.fail("invalid", value=data)


class MemberSerializer(serializers.ModelSerializer[Participant]):
    """A member of a conversation. Where a member does not share how far they are, others see cursors of 0."""

    user_id = serializers.IntegerField(read_only=True)
    username = serializers.CharField(source="user.username", read_only=True)

    class Meta:
        model = Participant
        fields = ("user_id", "username", "role", "joined_at", "joined_seq", "delivered_seq", "read_seq")
        read_only_fields = ("joined_at", "joined_seq", "delivered_seq", "read_seq")
        extra_kwargs: ClassVar = {
            "joined_seq": {"help_text": "The seq after which they joined."},
            "delivered_seq": {"help_text": "Up to here everything has arrived."},
            "read_seq": {"help_text": "Up to here everything was read."},
        }

    def to_representation(self, member: Participant) -> dict[str, Any]:
        shown = super().to_representation(member)
        if not member.user.shares_receipts and member.user_id != self.context["viewer_id"]:
            shown |= {"delivered_seq": 0, "read_seq": 0}
        return shown


def member_rows(members: Sequence[Participant], *, viewer_id: int) -> Any:
    """Members as one viewer sees them."""
    return MemberSerializer(members, many=True, context={"viewer_id": viewer_id}).data


class AddMembersSerializer(serializers.Serializer[Any]):
    """The users to add, and their role."""

    participants = serializers.ListField(
        child=TextField(max_length=150),
        allow_empty=False,
        max_length=MAX_PARTICIPANTS_PER_REQUEST,
        help_text="Usernames.",
    )
    role = serializers.ChoiceField(Participant.Role.choices, default=Participant.Role.MEMBER)


class ChangeRoleSerializer(serializers.Serializer[Any]):
    """The new role of a member."""

    role = serializers.ChoiceField(Participant.Role.choices)


class CreateConversationSerializer(serializers.Serializer[Any]):
    """The participants, and for a group its title."""

    participants = serializers.ListField(
        child=TextField(max_length=150),
        max_length=MAX_PARTICIPANTS_PER_REQUEST,
        help_text="The usernames of the others.",
    )
    title = TextField(max_length=200, allow_blank=True, default="", help_text="Makes it a group.")
    opens_history = serializers.BooleanField(
        default=False, help_text="Whether who joins later may read what was said before."
    )


class RenameSerializer(serializers.Serializer[Any]):
    """The new title."""

    title = TextField(max_length=200, allow_blank=True)


class SendSerializer(serializers.Serializer[Any]):
    """A message, and optionally the client's own id for it."""

    # The service checks length and characters, so that REST and sockets answer alike.
    message = TextField(
        trim_whitespace=False, allow_blank=True, help_text="8,000 characters at most, by default."
    )
    client_id = ClientIdField(
        required=False,
        allow_null=True,
        default=None,
        help_text="A UUID that the sender chooses: sent again with it, the message is stored once.",
    )


class EditSerializer(serializers.Serializer[Any]):
    """The new text."""

    message = TextField(
        trim_whitespace=False, allow_blank=True, help_text="8,000 characters at most, by default."
    )


class CursorSerializer(serializers.Serializer[Any]):
    """A position up to which messages have arrived, or were read."""

    up_to_seq = SeqField(help_text="The seq of the last message that arrived or was read.")


class MessageSerializer(serializers.Serializer[Any]):
    """A message of the history, with the fields of the frame `message` on a socket."""

    type = serializers.CharField(read_only=True, help_text="Always `message`.")
    message_id = serializers.IntegerField(read_only=True)
    sender_id = serializers.IntegerField(read_only=True)
    sender_username = serializers.CharField(read_only=True)
    content = serializers.CharField(read_only=True, help_text="Empty once the message is deleted.")
    created_at = serializers.DateTimeField(read_only=True)
    is_read = serializers.BooleanField(
        read_only=True, help_text="By the user; for a message of their own, by all others who share it."
    )
    conversation_id = serializers.IntegerField(read_only=True)
    seq = serializers.IntegerField(read_only=True, help_text="Its place in the conversation.")
    client_id = serializers.UUIDField(read_only=True, allow_null=True)
    edited_at = serializers.DateTimeField(read_only=True, allow_null=True)
    deleted_at = serializers.DateTimeField(read_only=True, allow_null=True)
    position = serializers.CharField(read_only=True, help_text="For `?since=` of a socket.")


class SentSerializer(serializers.Serializer[Any]):
    """A message that is stored."""

    message_id = serializers.IntegerField(read_only=True)
    seq = serializers.IntegerField(read_only=True, help_text="Its place in the conversation.")
    created_at = serializers.DateTimeField(read_only=True)
    client_id = serializers.UUIDField(read_only=True, allow_null=True)
    duplicate = serializers.BooleanField(read_only=True, help_text="Whether it had been stored before.")


class SeqSerializer(serializers.Serializer[Any]):
    """The seq of the event that says what was done."""

    seq = serializers.IntegerField(read_only=True, help_text="The place of the event in the conversation.")


class _History(serializers.Serializer[Any]):
    results = MessageSerializer(many=True)
    has_more = serializers.BooleanField(help_text="Whether there are older messages.")
    last_seq = serializers.IntegerField(help_text="The conversation's head.")
    last_position = serializers.CharField(help_text="The position there: resume a socket from here.")


class HistorySerializer(_History):
    """A page of the history, newest first."""

    next = serializers.CharField(allow_null=True, help_text="The older page.")
    previous = serializers.CharField(allow_null=True, help_text="The newer page.")


class HistoryPageSerializer(_History):
    """A page of the history, newest first, on a socket."""

    older_before = serializers.IntegerField(allow_null=True, help_text="The `before` of the older page.")
    newer_after = serializers.IntegerField(allow_null=True, help_text="The `after` of the newer page.")


class ConversationSerializer(serializers.Serializer[Any]):
    """A conversation, and how far the user is in it."""

    id = serializers.IntegerField(read_only=True)
    kind = serializers.ChoiceField(Conversation.Kind.choices, read_only=True)
    title = serializers.CharField(read_only=True, help_text="Empty for a direct conversation.")
    opens_history = serializers.BooleanField(
        read_only=True, help_text="Whether who joins later may read what was said before."
    )
    created_at = serializers.DateTimeField(read_only=True)
    role = serializers.ChoiceField(Participant.Role.choices, read_only=True, help_text="The user's own.")
    member_count = serializers.IntegerField(read_only=True)
    members = MemberSerializer(many=True, read_only=True, help_text="The first ten.")
    last_message = MessageSerializer(read_only=True, allow_null=True)
    unread_count = serializers.IntegerField(read_only=True, help_text="Messages of others, not read yet.")
    read_seq = serializers.IntegerField(read_only=True, help_text="Up to here the user has read.")
    last_seq = serializers.IntegerField(read_only=True, help_text="The conversation's head.")
    last_position = serializers.CharField(
        read_only=True, help_text="The position there: resume a socket from here."
    )


class _Conversations(serializers.Serializer[Any]):
    results = ConversationSerializer(many=True)
    has_more = serializers.BooleanField(help_text="Whether there is a next page.")


class ConversationsSerializer(_Conversations):
    """A page of conversations, the one that was active last first."""

    next = serializers.CharField(allow_null=True, help_text="The next page.")


class ConversationsPageSerializer(_Conversations):
    """A page of conversations, the one that was active last first, on a socket."""

    cursor = serializers.CharField(allow_null=True, help_text="The `cursor` of the next page.")


class ReadSerializer(serializers.Serializer[Any]):
    """The user's cursors in a conversation, and the number of unread messages."""

    delivered_seq = serializers.IntegerField(read_only=True, help_text="Up to here everything has arrived.")
    read_seq = serializers.IntegerField(read_only=True, help_text="Up to here everything was read.")
    unread_count = serializers.IntegerField(read_only=True, help_text="Messages of others above that.")


def message_row(
    message: ShownMessage, *, viewer_id: int, read_seq: int, read_by_others: int
) -> dict[str, Any]:
    """One message for one viewer: `is_read` compares it with the cursors, the viewer's own or the others'."""
    is_read = message.seq <= (read_by_others if message.sender_id == viewer_id else read_seq)
    row = {"type": "message", **message._asdict(), "is_read": is_read}
    return row | {"position": _position(message.conversation_id, message.seq, row.pop("logged_at"))}


def _position(conversation_id: int, seq: int, stored_at: Any) -> str:
    return str(positions.at(conversation_topic(conversation_id), seq, stored_at))


def conversation_row(conversation: Any, *, viewer_id: int) -> dict[str, Any]:
    """A conversation as one viewer sees it; `conversation` comes from `selectors`."""
    mine, last = conversation.my, conversation.last_message
    return {
        "id": conversation.pk,
        "kind": conversation.kind,
        "title": conversation.title,
        "opens_history": conversation.opens_history,
        "created_at": conversation.created_at,
        "role": mine.role,
        "member_count": conversation.member_count,
        "members": member_rows(conversation.first_members, viewer_id=viewer_id),
        "last_message": last
        and message_row(
            last, viewer_id=viewer_id, read_seq=mine.read_seq, read_by_others=mine.read_by_others
        ),
        "unread_count": mine.unread,
        "read_seq": mine.read_seq,
        "last_seq": mine.head or 0,
        "last_position": _position(conversation.pk, mine.head or 0, mine.head_stored_at),
    }


def read_state(membership: Membership, unread_count: int) -> dict[str, int]:
    """The viewer's cursors after a move."""
    return {
        "delivered_seq": membership.delivered_seq,
        "read_seq": membership.read_seq,
        "unread_count": unread_count,
    }
