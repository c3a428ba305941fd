"""The OpenAPI descriptions of the operations on conversations; the code is in `api.py`."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiResponse, extend_schema

from chat import examples, queries
from chat import serializers as shapes
from chat.errors import MessageNotFoundError, NotAParticipantError
from realtime import gives, path_id, problems, refuses, takes

_CONVERSATION = path_id("conversation_id", "The conversation.", examples.CONVERSATION_ID)
_MESSAGE = path_id("message_id", "The message.", examples.MESSAGE_ID)
_MEMBER = path_id("user_id", "The member, by the id of the user.", examples.USER_ID)

#: Errors of operations on one's own things, and of those on one conversation.
_ABOUT_ME = problems(400, 401, 403, 429, 503)
_ABOUT_ONE = _ABOUT_ME | refuses(
    "The conversation does not exist or is not yours, which look the same; or it does not hold this.",
    NotAParticipantError(),
    MessageNotFoundError(),
)

# --- conversations ------------------------------------------------------------------------------------

conversations_list = extend_schema(
    operation_id="conversations_list",
    tags=["conversations"],
    summary="List the conversations",
    description=(
        "Those that the user takes part in, the one that was active last first. The pages that `next` "
        "leads to keep the order of the first one, whatever is said meanwhile."
    ),
    parameters=[queries.ConversationQuerySerializer],
    responses={
        200: gives(shapes.ConversationsSerializer, examples.CONVERSATIONS, "A page of them."),
        **_ABOUT_ME,
    },
)

conversations_create = extend_schema(
    operation_id="conversations_create",
    tags=["conversations"],
    summary="Begin a conversation",
    description=(
        "With one participant and no title it is direct, and the same one every time; else it is a new "
        "group, and the user its owner."
    ),
    request=takes(shapes.CreateConversationSerializer, examples.CREATING),
    responses={
        201: gives(shapes.ConversationSerializer, examples.NEW_GROUP, "The new conversation."),
        200: gives(
            shapes.ConversationSerializer, examples.DIRECT, "The direct conversation that already existed."
        ),
        **_ABOUT_ME,
    },
)

conversations_retrieve = extend_schema(
    operation_id="conversations_retrieve",
    tags=["conversations"],
    summary="Show a conversation",
    description="With its last message, its first members, and how much of it the user has not read.",
    parameters=[_CONVERSATION],
    responses={
        200: gives(shapes.ConversationSerializer, examples.CONVERSATION, "The conversation."),
        **_ABOUT_ONE,
    },
)

conversations_rename = extend_schema(
    operation_id="conversations_rename",
    tags=["conversations"],
    summary="Rename a group",
    description="Owners and admins may. A direct conversation has no title.",
    parameters=[_CONVERSATION],
    request=takes(shapes.RenameSerializer, examples.RENAMING),
    responses={
        200: gives(shapes.ConversationSerializer, examples.CONVERSATION, "The group under its new title."),
        **_ABOUT_ONE,
    },
)

conversations_read = extend_schema(
    operation_id="conversations_read",
    tags=["conversations"],
    summary="Mark as read",
    description=(
        "Everything up to a seq was read, which implies that it arrived. A cursor never moves back."
    ),
    parameters=[_CONVERSATION],
    request=takes(shapes.CursorSerializer, examples.MOVING),
    responses={
        200: gives(shapes.ReadSerializer, examples.READ, "How far the user is now."),
        **_ABOUT_ONE,
    },
)

conversations_delivered = extend_schema(
    operation_id="conversations_delivered",
    tags=["conversations"],
    summary="Mark as delivered",
    description="Everything up to a seq has arrived on a device of the user. A cursor never moves back.",
    parameters=[_CONVERSATION],
    request=takes(shapes.CursorSerializer, examples.MOVING),
    responses={
        200: gives(shapes.ReadSerializer, examples.DELIVERED, "How far the user is now."),
        **_ABOUT_ONE,
    },
)

# --- messages -----------------------------------------------------------------------------------------

messages_list = extend_schema(
    operation_id="messages_list",
    tags=["messages"],
    summary="Read the history",
    description=(
        "The newest messages, those before a seq, or the oldest after one; always newest first. A socket "
        "that is opened with `?since=` the page's `last_position` goes on from there, and nothing falls "
        "between."
    ),
    parameters=[_CONVERSATION, queries.HistoryQuerySerializer],
    responses={
        200: gives(shapes.HistorySerializer, examples.HISTORY, "A page of the history."),
        **_ABOUT_ONE,
    },
)

messages_send = extend_schema(
    operation_id="messages_send",
    tags=["messages"],
    summary="Send a message",
    description=(
        "It reaches the sockets of all members. With a `client_id` it can be sent again after a lost "
        "answer: it is stored once, and the answer is the same, without a time limit."
    ),
    parameters=[_CONVERSATION],
    request=takes(shapes.SendSerializer, examples.SENDING),
    responses={
        201: gives(shapes.SentSerializer, examples.SENT, "The message is stored."),
        200: gives(
            shapes.SentSerializer, examples.SENT_BEFORE, "It had been stored before under this `client_id`."
        ),
        **_ABOUT_ONE,
    },
)

messages_edit = extend_schema(
    operation_id="messages_edit",
    tags=["messages"],
    summary="Edit a message",
    description="Only its sender may, and 1,000 times at most.",
    parameters=[_CONVERSATION, _MESSAGE],
    request=takes(shapes.EditSerializer, examples.EDITING),
    responses={200: gives(shapes.SeqSerializer, examples.DONE, "The message is changed."), **_ABOUT_ONE},
)

messages_delete = extend_schema(
    operation_id="messages_delete",
    tags=["messages"],
    summary="Delete a message",
    description=(
        "Its sender may, and in a group owners and admins. It keeps its place in the history, without its "
        "text."
    ),
    parameters=[_CONVERSATION, _MESSAGE],
    request=None,
    responses={200: gives(shapes.SeqSerializer, examples.DONE, "The message is deleted."), **_ABOUT_ONE},
)

# --- members ------------------------------------------------------------------------------------------

members_list = extend_schema(
    operation_id="members_list",
    tags=["members"],
    summary="List the members",
    description="Everybody in the conversation, with how far they have read.",
    parameters=[_CONVERSATION],
    responses={
        200: gives(shapes.MemberSerializer(many=True), examples.BRUNO, "All members."),
        **_ABOUT_ONE,
    },
)

members_add = extend_schema(
    operation_id="members_add",
    tags=["members"],
    summary="Add members to a group",
    description=(
        "Owners and admins may add members, owners also admins and owners. Who is a member already stays one."
    ),
    parameters=[_CONVERSATION],
    request=takes(shapes.AddMembersSerializer, examples.ADDING),
    responses={
        201: gives(shapes.MemberSerializer(many=True), examples.CLARA, "Those who were added."),
        **_ABOUT_ONE,
    },
)

members_change_role = extend_schema(
    operation_id="members_change_role",
    tags=["members"],
    summary="Change a member's role",
    description="Owners may. The last owner who can sign in keeps the role.",
    parameters=[_CONVERSATION, _MEMBER],
    request=takes(shapes.ChangeRoleSerializer, examples.CHANGING_ROLE),
    responses={
        200: gives(shapes.MemberSerializer, examples.BRUNO_AS_ADMIN, "The member with the new role."),
        **_ABOUT_ONE,
    },
)

members_remove = extend_schema(
    operation_id="members_remove",
    tags=["members"],
    summary="Remove a member, or leave",
    description="Everybody may leave a group. Owners and admins may remove members, owners anybody.",
    parameters=[_CONVERSATION, _MEMBER],
    request=None,
    responses={204: OpenApiResponse(description="They take part no more."), **_ABOUT_ONE},
)
