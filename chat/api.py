"""The HTTP API of conversations: creating them, their members and their history.

What the OpenAPI document says of each operation is in `operations.py`.
"""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import urlencode

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import User
from accounts.views import ApiView
from chat import answers, operations, queries, selectors, services
from chat import serializers as shapes
from chat.cursors import MOVES
from chat.limits import allow_send
from chat.services import Cursor, Draft, clean_content
from realtime import RealtimeError


def _checked(kind: type[Any], data: Any) -> dict[str, Any]:
    serializer = kind(data=data)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


def _me(request: Request) -> User:
    return cast("User", request.user)  # IsAuthenticated lets nobody else in


def _link(request: Request, **query: Any) -> str:
    return request.build_absolute_uri(f"{request.path}?{urlencode(query)}")


class ConversationsView(ApiView):
    """The viewer's conversations."""

    @operations.conversations_list
    def get(self, request: Request) -> Response:
        """List the viewer's conversations, the one active last first; `next` links to the next page."""
        query = _checked(queries.ConversationQuerySerializer, request.query_params)
        me, limit = _me(request), query["limit"]
        if "before" in query:
            rows, before = selectors.conversations_before(user_id=me.pk, before=query["before"], limit=limit)
            results = [shapes.conversation_row(row, viewer_id=me.pk) for row in rows]
            link = before and _link(request, before=before, limit=limit)
        else:
            results, cursor = answers.conversations(me, position=query.get("cursor"), limit=limit)
            link = cursor and _link(request, cursor=cursor, limit=limit)
        return Response({"results": results, "next": link, "has_more": link is not None})

    @operations.conversations_create
    def post(self, request: Request) -> Response:
        """Open a conversation: the direct one with one participant and no title, else a new group."""
        wish = _checked(shapes.CreateConversationSerializer, request.data)
        conversation, is_new = answers.open_conversation(_me(request), **wish)
        return Response(conversation, status=201 if is_new else 200)


class ConversationView(ApiView):
    @operations.conversations_retrieve
    def get(self, request: Request, conversation_id: int) -> Response:
        """Show one conversation."""
        return Response(answers.conversation(_me(request), conversation_id))

    @operations.conversations_rename
    def patch(self, request: Request, conversation_id: int) -> Response:
        """Rename a group."""
        wish = _checked(shapes.RenameSerializer, request.data)
        return Response(answers.rename(_me(request), conversation_id, title=wish["title"]))


class MessagesView(ApiView):
    @operations.messages_list
    def get(self, request: Request, conversation_id: int) -> Response:
        """History by position: the newest page, or `before` / `after` a seq; always newest first."""
        query = _checked(queries.HistoryQuerySerializer, request.query_params)
        before, after, limit = query.get("before"), query.get("after"), query["limit"]
        membership = selectors.membership_for(user_id=_me(request).pk, conversation_id=conversation_id)
        page = answers.history(membership, before=before, after=after, limit=limit)
        # A link to older pages keeps the lower bound that this request has.
        within = {"after": after} if before is not None and after is not None else {}
        older_before, newer_after = page.pop("older_before"), page.pop("newer_after")
        older = newer = None
        if older_before is not None:
            older = _link(request, before=older_before, **within, limit=limit)
        if newer_after is not None:
            newer = _link(request, after=newer_after, limit=limit)
        return Response({"results": page.pop("results"), "next": older, "previous": newer, **page})

    @operations.messages_send
    def post(self, request: Request, conversation_id: int) -> Response:
        """Send a message; it reaches open sockets like any other."""
        wish = _checked(shapes.SendSerializer, request.data)
        content = clean_content(wish["message"])
        allow_send(_me(request).pk)
        [outcome] = services.send_messages([Draft(conversation_id, _me(request), content, wish["client_id"])])
        if isinstance(outcome, RealtimeError):
            raise outcome
        return Response(shapes.SentSerializer(outcome).data, status=200 if outcome.duplicate else 201)


class MessageView(ApiView):
    @operations.messages_edit
    def patch(self, request: Request, conversation_id: int, message_id: int) -> Response:
        """Change one's own message."""
        wish = _checked(shapes.EditSerializer, request.data)
        seq = answers.edit(_me(request), conversation_id, message_id, content=wish["message"])
        return Response({"seq": seq})

    @operations.messages_delete
    def delete(self, request: Request, conversation_id: int, message_id: int) -> Response:
        """Delete a message: one's own, or as a manager any."""
        return Response({"seq": answers.delete(_me(request), conversation_id, message_id)})


class MembersView(ApiView):
    @operations.members_list
    def get(self, request: Request, conversation_id: int) -> Response:
        """List the members of a conversation with their read cursors; 0 where a member does not share it."""
        return Response(answers.members(_me(request), conversation_id))

    @operations.members_add
    def post(self, request: Request, conversation_id: int) -> Response:
        """Add people to a group."""
        wish = _checked(shapes.AddMembersSerializer, request.data)
        return Response(answers.add_members(_me(request), conversation_id, **wish), status=201)


class MemberView(ApiView):
    @operations.members_change_role
    def patch(self, request: Request, conversation_id: int, user_id: int) -> Response:
        """Give a member another role."""
        wish = _checked(shapes.ChangeRoleSerializer, request.data)
        return Response(answers.change_role(_me(request), conversation_id, user_id, role=wish["role"]))

    @operations.members_remove
    def delete(self, request: Request, conversation_id: int, user_id: int) -> Response:
        """Remove a member, or leave the conversation."""
        answers.remove_member(_me(request), conversation_id, user_id)
        return Response(status=204)


class ReadView(ApiView):
    @operations.conversations_read
    def post(self, request: Request, conversation_id: int) -> Response:
        """Mark everything up to a seq as read; a cursor never moves back."""
        up_to_seq = _checked(shapes.CursorSerializer, request.data)["up_to_seq"]
        membership = MOVES.move((_me(request).pk, conversation_id), Cursor(read=up_to_seq))
        return Response(shapes.read_state(membership, selectors.unread_count(membership)))


class DeliveredView(ApiView):
    @operations.conversations_delivered
    def post(self, request: Request, conversation_id: int) -> Response:
        """Note that a device of the viewer has received everything up to a seq."""
        up_to_seq = _checked(shapes.CursorSerializer, request.data)["up_to_seq"]
        membership = MOVES.move((_me(request).pk, conversation_id), Cursor(delivered=up_to_seq))
        return Response(shapes.read_state(membership, selectors.unread_count(membership)))
