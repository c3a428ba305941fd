"""Conversations over HTTP: making them, their members, their history, catching up."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import urlencode

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import User
from accounts.schema import problems
from accounts.views import ApiView
from chat import answers, selectors, services
from chat import serializers as shapes
from chat.cursors import MOVES
from chat.limits import allow_send
from chat.services import Cursor, Draft, clean_content
from realtime import RealtimeError

#: What may go wrong with what is the viewer's own, and with what belongs to one conversation.
_ABOUT_ME = problems(400, 401, 403, 429)
_ABOUT_ONE = problems(400, 401, 403, 404, 429)


def _checked(kind: type[Any], data: Any) -> dict[str, Any]:
    serializer = kind(data=data)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


def _me(request: Request) -> User:
    return cast("User", request.user)  # nobody else gets past IsAuthenticated


def _link(request: Request, **query: Any) -> str:
    return request.build_absolute_uri(f"{request.path}?{urlencode(query)}")


class ConversationsView(ApiView):
    """The viewer's conversations."""

    @extend_schema(
        operation_id="conversations_list",
        parameters=[shapes.ConversationQuerySerializer],
        responses={200: shapes.ConversationsSerializer, **_ABOUT_ME},
    )
    def get(self, request: Request) -> Response:
        """The one that was active last first; `next` leads on."""
        query = _checked(shapes.ConversationQuerySerializer, request.query_params)
        me, limit = _me(request), query["limit"]
        if "before" in query:
            rows, before = selectors.conversations_before(user_id=me.pk, before=query["before"], limit=limit)
            results = [shapes.conversation_row(row, viewer_id=me.pk) for row in rows]
            link = before and _link(request, before=before, limit=limit)
        else:
            results, cursor = answers.conversations(me, position=query.get("cursor"), limit=limit)
            link = cursor and _link(request, cursor=cursor, limit=limit)
        return Response({"results": results, "next": link, "has_more": link is not None})

    @extend_schema(
        operation_id="conversations_create",
        request=shapes.CreateConversationSerializer,
        responses={
            201: shapes.ConversationSerializer,
            200: OpenApiResponse(
                shapes.ConversationSerializer, "The direct conversation that already existed."
            ),
            **_ABOUT_ME,
        },
    )
    def post(self, request: Request) -> Response:
        """With one participant and no title it is direct, and the same one every time; else a group."""
        wish = _checked(shapes.CreateConversationSerializer, request.data)
        conversation, is_new = answers.open_conversation(_me(request), **wish)
        return Response(conversation, status=201 if is_new else 200)


class ConversationView(ApiView):
    @extend_schema(
        operation_id="conversations_retrieve", responses={200: shapes.ConversationSerializer, **_ABOUT_ONE}
    )
    def get(self, request: Request, conversation_id: int) -> Response:
        """One conversation."""
        return Response(answers.conversation(_me(request), conversation_id))

    @extend_schema(
        operation_id="conversations_rename",
        request=shapes.RenameSerializer,
        responses={200: shapes.ConversationSerializer, **_ABOUT_ONE},
    )
    def patch(self, request: Request, conversation_id: int) -> Response:
        """Rename a group."""
        wish = _checked(shapes.RenameSerializer, request.data)
        return Response(answers.rename(_me(request), conversation_id, title=wish["title"]))


class MessagesView(ApiView):
    @extend_schema(
        operation_id="messages_list",
        parameters=[shapes.HistoryQuerySerializer],
        responses={200: shapes.HistorySerializer, **_ABOUT_ONE},
    )
    def get(self, request: Request, conversation_id: int) -> Response:
        """History by position: the newest page, or `before` / `after` a seq; always newest first."""
        query = _checked(shapes.HistoryQuerySerializer, request.query_params)
        before, after, limit = query.get("before"), query.get("after"), query["limit"]
        membership = selectors.membership_for(user_id=_me(request).pk, conversation_id=conversation_id)
        page = answers.history(membership, before=before, after=after, limit=limit)
        # Older pages between two positions stay between them.
        within = {"after": after} if before is not None and after is not None else {}
        older_before, newer_after = page.pop("older_before"), page.pop("newer_after")
        older = newer = None
        if older_before is not None:
            older = _link(request, before=older_before, **within, limit=limit)
        if newer_after is not None:
            newer = _link(request, after=newer_after, limit=limit)
        return Response({"results": page.pop("results"), "next": older, "previous": newer, **page})

    @extend_schema(
        operation_id="messages_send",
        request=shapes.SendSerializer,
        responses={
            201: shapes.SentSerializer,
            200: OpenApiResponse(shapes.SentSerializer, "It had been stored before under this client_id."),
            **_ABOUT_ONE,
        },
    )
    def post(self, request: Request, conversation_id: int) -> Response:
        """Send a message; it reaches the sockets like any other."""
        wish = _checked(shapes.SendSerializer, request.data)
        content = clean_content(wish["message"])
        allow_send(_me(request).pk)
        [outcome] = services.send_messages([Draft(conversation_id, _me(request), content, wish["client_id"])])
        if isinstance(outcome, RealtimeError):
            raise outcome
        return Response(shapes.SentSerializer(outcome).data, status=200 if outcome.duplicate else 201)


class MessageView(ApiView):
    @extend_schema(
        operation_id="messages_edit",
        request=shapes.EditSerializer,
        responses={200: shapes.SeqSerializer, **_ABOUT_ONE},
    )
    def patch(self, request: Request, conversation_id: int, message_id: int) -> Response:
        """Change one's own message."""
        wish = _checked(shapes.EditSerializer, request.data)
        seq = answers.edit(_me(request), conversation_id, message_id, content=wish["message"])
        return Response({"seq": seq})

    @extend_schema(
        operation_id="messages_delete", request=None, responses={200: shapes.SeqSerializer, **_ABOUT_ONE}
    )
    def delete(self, request: Request, conversation_id: int, message_id: int) -> Response:
        """Delete one's own message, or as a manager anybody's."""
        return Response({"seq": answers.delete(_me(request), conversation_id, message_id)})


class MembersView(ApiView):
    @extend_schema(
        operation_id="members_list", responses={200: shapes.MemberSerializer(many=True), **_ABOUT_ONE}
    )
    def get(self, request: Request, conversation_id: int) -> Response:
        """Everybody in the conversation, with how far they read; 0 for who does not share it."""
        return Response(answers.members(_me(request), conversation_id))

    @extend_schema(
        operation_id="members_add",
        request=shapes.AddMembersSerializer,
        responses={201: shapes.MemberSerializer(many=True), **_ABOUT_ONE},
    )
    def post(self, request: Request, conversation_id: int) -> Response:
        """Add people to a group."""
        wish = _checked(shapes.AddMembersSerializer, request.data)
        return Response(answers.add_members(_me(request), conversation_id, **wish), status=201)


class MemberView(ApiView):
    @extend_schema(
        operation_id="members_change_role",
        request=shapes.ChangeRoleSerializer,
        responses={200: shapes.MemberSerializer, **_ABOUT_ONE},
    )
    def patch(self, request: Request, conversation_id: int, user_id: int) -> Response:
        """Give a member another role."""
        wish = _checked(shapes.ChangeRoleSerializer, request.data)
        return Response(answers.change_role(_me(request), conversation_id, user_id, role=wish["role"]))

    @extend_schema(operation_id="members_remove", request=None, responses={204: None, **_ABOUT_ONE})
    def delete(self, request: Request, conversation_id: int, user_id: int) -> Response:
        """Remove a member, or leave."""
        answers.remove_member(_me(request), conversation_id, user_id)
        return Response(status=204)


class ReadView(ApiView):
    @extend_schema(
        operation_id="conversations_read",
        request=shapes.CursorSerializer,
        responses={200: shapes.ReadSerializer, **_ABOUT_ONE},
    )
    def post(self, request: Request, conversation_id: int) -> Response:
        """Everything up to a seq is read; a cursor never moves back."""
        up_to_seq = _checked(shapes.CursorSerializer, request.data)["up_to_seq"]
        membership = MOVES.move((_me(request).pk, conversation_id), Cursor(read=up_to_seq))
        return Response(shapes.read_state(membership, selectors.unread_count(membership)))


class DeliveredView(ApiView):
    @extend_schema(
        operation_id="conversations_delivered",
        request=shapes.CursorSerializer,
        responses={200: shapes.ReadSerializer, **_ABOUT_ONE},
    )
    def post(self, request: Request, conversation_id: int) -> Response:
        """A device has everything up to a seq."""
        up_to_seq = _checked(shapes.CursorSerializer, request.data)["up_to_seq"]
        membership = MOVES.move((_me(request).pk, conversation_id), Cursor(delivered=up_to_seq))
        return Response(shapes.read_state(membership, selectors.unread_count(membership)))
