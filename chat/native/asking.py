"""Commands of the native socket on conversations, their members and history, with REST's answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from accounts.models import User
from chat import answers, queries, selectors, serializers
from chat.selectors import DEFAULT_PAGE, MAX_PAGE, ListPosition
from chat.serializers import MAX_PARTICIPANTS_PER_REQUEST
from native.commands import in_thread
from native.pages import fitting
from realtime import Id, InvalidFrameError, Seq, Text

Size = Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)]
Names = Annotated[
    list[Annotated[str, msgspec.Meta(max_length=150, examples=["bruno"])]],
    msgspec.Meta(max_length=MAX_PARTICIPANTS_PER_REQUEST),
]
Title = Annotated[Text, msgspec.Meta(max_length=200, examples=["Project"])]
#: The `cursor` of the page before.
Cursor = Annotated[
    str,
    msgspec.Meta(
        description="The `cursor` of the page before.",
        extra_json_schema={
            "pattern": f"^{queries.CURSOR}$",
            "examples": ["1796121000000-123-1796121000000"],
        },
    ),
]
Role = Literal["owner", "admin", "member"]


class ListConversations(msgspec.Struct):
    """A page of the user's conversations, the one active last first."""

    limit: Size = DEFAULT_PAGE
    cursor: Cursor | None = None


class OneConversation(msgspec.Struct):
    """One of the user's conversations."""

    conversation_id: Id


class CreateConversation(msgspec.Struct):
    """Open a conversation: the direct one with one other and no title, else a new group."""

    participants: Names
    title: Title = ""
    opens_history: bool = False


class RenameConversation(msgspec.Struct):
    """Give a group another title."""

    conversation_id: Id
    title: Title


class ListMessages(msgspec.Struct):
    """A page of history: the newest, those before a seq, or the oldest after one; always newest first."""

    conversation_id: Id
    before: Seq | None = None
    after: Seq | None = None
    limit: Size = DEFAULT_PAGE


class AddMembers(msgspec.Struct):
    """Add users to a group."""

    conversation_id: Id
    participants: Annotated[Names, msgspec.Meta(min_length=1)]
    role: Role = "member"


class ChangeRole(msgspec.Struct):
    """Give a member another role."""

    conversation_id: Id
    user_id: Id
    role: Role


class RemoveMember(msgspec.Struct):
    """Remove a member of a group, or leave it."""

    conversation_id: Id
    user_id: Id


@in_thread("conversations", ListConversations, shows=serializers.ConversationsPageSerializer)
def conversations(user: User, wish: ListConversations) -> msgspec.Raw:
    position = None if wish.cursor is None else queries.read_cursor(wish.cursor)
    if wish.cursor is not None and position is None:
        raise InvalidFrameError("The cursor is not from an earlier page.")
    return fitting(lambda limit: conversations_page(user, position=position, limit=limit), wish.limit)


def conversations_page(user: User, *, position: ListPosition | None, limit: int) -> dict[str, Any]:
    """A page of the user's conversations, with the cursor of the next one."""
    results, cursor = answers.conversations(user, position=position, limit=limit)
    return {"results": results, "has_more": cursor is not None, "cursor": cursor}


@in_thread("conversation", OneConversation, shows=serializers.ConversationSerializer)
def conversation(user: User, wish: OneConversation) -> dict[str, Any]:
    return answers.conversation(user, wish.conversation_id)


@in_thread("conversation.create", CreateConversation, shows=serializers.ConversationSerializer)
def create(user: User, wish: CreateConversation) -> dict[str, Any]:
    return answers.open_conversation(user, **msgspec.structs.asdict(wish))[0]


@in_thread("conversation.rename", RenameConversation, shows=serializers.ConversationSerializer)
def rename(user: User, wish: RenameConversation) -> dict[str, Any]:
    return answers.rename(user, wish.conversation_id, title=wish.title)


@in_thread("messages", ListMessages, shows=serializers.HistoryPageSerializer)
def messages(user: User, wish: ListMessages) -> msgspec.Raw:
    membership = selectors.membership_for(user_id=user.pk, conversation_id=wish.conversation_id)
    return fitting(
        lambda limit: answers.history(membership, before=wish.before, after=wish.after, limit=limit),
        wish.limit,
    )


@in_thread("members", OneConversation, shows=serializers.MemberSerializer(many=True))
def members(user: User, wish: OneConversation) -> Any:
    return answers.members(user, wish.conversation_id)


@in_thread("members.add", AddMembers, shows=serializers.MemberSerializer(many=True))
def add_members(user: User, wish: AddMembers) -> Any:
    return answers.add_members(user, wish.conversation_id, participants=wish.participants, role=wish.role)


@in_thread("members.role", ChangeRole, shows=serializers.MemberSerializer)
def change_role(user: User, wish: ChangeRole) -> Any:
    return answers.change_role(user, wish.conversation_id, wish.user_id, role=wish.role)


@in_thread("members.remove", RemoveMember, shows=None)
def remove_member(user: User, wish: RemoveMember) -> None:
    answers.remove_member(user, wish.conversation_id, wish.user_id)
