"""Conversations over HTTP: making them, their members, their history, catching up."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import urlencode

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.errors import UnknownUserError
from accounts.models import User
from accounts.schema import problems
from accounts.views import ApiView
from chat import selectors, services
from chat import serializers as shapes
from chat.cursors import MOVES
from chat.limits import allow_invitation, allow_send
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


def _users(usernames: list[str]) -> list[User]:
    found = {user.username: user for user in User.objects.filter(username__in=usernames, is_active=True)}
    if missing := [name for name in usernames if name not in found]:
        raise UnknownUserError(f"Unknown user: {missing[0]}")
    return [found[name] for name in usernames]


def _link(request: Request, **query: Any) -> str:
    return request.build_absolute_uri(f"{request.path}?{urlencode(query)}")


def _conversation(viewer: User, conversation_id: int, *, status: int = 200) -> Response:
    """A conversation as it is now; 404 for a viewer who was removed while they asked."""
    row = selectors.conversation_of(user_id=viewer.pk, conversation_id=conversation_id)
    return Response(shapes.conversation_row(row, viewer_id=viewer.pk), status=status)


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
        user_id, limit = _me(request).pk, query["limit"]
        if "before" in query:
            rows, before = selectors.conversations_before(
                user_id=user_id, before=query["before"], limit=limit
            )
            link = before and _link(request, before=before, limit=limit)
        else:
            rows, position = selectors.conversations_of(
                user_id=user_id, position=query.get("cursor"), limit=limit
            )
            link = position and _link(request, cursor=shapes.cursor_text(position), limit=limit)
        return Response(
            {
                "results": [shapes.conversation_row(row, viewer_id=user_id) for row in rows],
                "next": link,
                "has_more": link is not None,
            }
        )

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
        allow_invitation(_me(request).pk)
        conversation, is_new = services.open_conversation(
            creator=_me(request),
            participants=_users(wish["participants"]),
            title=wish["title"],
            opens_history=wish["opens_history"],
        )
        return _conversation(_me(request), conversation.pk, status=201 if is_new else 200)


class ConversationView(ApiView):
    @extend_schema(
        operation_id="conversations_retrieve", responses={200: shapes.ConversationSerializer, **_ABOUT_ONE}
    )
    def get(self, request: Request, conversation_id: int) -> Response:
        """One conversation."""
        return _conversation(_me(request), conversation_id)

    @extend_schema(
        operation_id="conversations_rename",
        request=shapes.RenameSerializer,
        responses={200: shapes.ConversationSerializer, **_ABOUT_ONE},
    )
    def patch(self, request: Request, conversation_id: int) -> Response:
        """Rename a group."""
        wish = _checked(shapes.RenameSerializer, request.data)
        allow_send(_me(request).pk)
        services.rename_conversation(conversation_id=conversation_id, by=_me(request), title=wish["title"])
        return _conversation(_me(request), conversation_id)


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
        viewer_id = _me(request).pk
        membership = selectors.membership_for(user_id=viewer_id, conversation_id=conversation_id)
        page = selectors.history(membership, before=before, after=after, limit=limit)
        # Older pages between two positions stay between them.
        within = {"after": after} if before is not None and after is not None else {}
        older = newer = None
        if page.older_before is not None:
            older = _link(request, before=page.older_before, **within, limit=limit)
        if page.newer_after is not None:
            newer = _link(request, after=page.newer_after, limit=limit)
        return Response(
            {
                "results": [
                    shapes.message_row(
                        message,
                        viewer_id=viewer_id,
                        read_seq=membership.read_seq,
                        read_by_others=page.read_by_others,
                    )
                    for message in page.messages
                ],
                "next": older,
                "previous": newer,
                "has_more": older is not None,
                "last_seq": membership.head,
                "last_position": str(membership.end),
            }
        )

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
        allow_send(_me(request).pk)
        seq = services.edit_message(
            conversation_id=conversation_id, message_id=message_id, by=_me(request), content=wish["message"]
        )
        return Response({"seq": seq})

    @extend_schema(
        operation_id="messages_delete", request=None, responses={200: shapes.SeqSerializer, **_ABOUT_ONE}
    )
    def delete(self, request: Request, conversation_id: int, message_id: int) -> Response:
        """Delete one's own message, or as a manager anybody's."""
        allow_send(_me(request).pk)
        seq = services.delete_message(conversation_id=conversation_id, message_id=message_id, by=_me(request))
        return Response({"seq": seq})


class MembersView(ApiView):
    @extend_schema(
        operation_id="members_list", responses={200: shapes.MemberSerializer(many=True), **_ABOUT_ONE}
    )
    def get(self, request: Request, conversation_id: int) -> Response:
        """Everybody in the conversation, with how far they read; 0 for who does not share it."""
        members = selectors.members_of(user_id=_me(request).pk, conversation_id=conversation_id)
        return Response(shapes.member_rows(members, viewer_id=_me(request).pk))

    @extend_schema(
        operation_id="members_add",
        request=shapes.AddMembersSerializer,
        responses={201: shapes.MemberSerializer(many=True), **_ABOUT_ONE},
    )
    def post(self, request: Request, conversation_id: int) -> Response:
        """Add people to a group."""
        wish = _checked(shapes.AddMembersSerializer, request.data)
        allow_invitation(_me(request).pk)
        # Membership first: a stranger must not learn from here which names exist.
        selectors.membership_for(user_id=_me(request).pk, conversation_id=conversation_id)
        added = services.add_members(
            conversation_id=conversation_id,
            by=_me(request),
            users=_users(wish["participants"]),
            role=wish["role"],
        )
        return Response(shapes.member_rows(added, viewer_id=_me(request).pk), status=201)


class MemberView(ApiView):
    @extend_schema(
        operation_id="members_change_role",
        request=shapes.ChangeRoleSerializer,
        responses={200: shapes.MemberSerializer, **_ABOUT_ONE},
    )
    def patch(self, request: Request, conversation_id: int, user_id: int) -> Response:
        """Give a member another role."""
        wish = _checked(shapes.ChangeRoleSerializer, request.data)
        allow_send(_me(request).pk)
        member = services.change_role(
            conversation_id=conversation_id, by=_me(request), user_id=user_id, role=wish["role"]
        )
        [row] = shapes.member_rows([member], viewer_id=_me(request).pk)
        return Response(row)

    @extend_schema(operation_id="members_remove", request=None, responses={204: None, **_ABOUT_ONE})
    def delete(self, request: Request, conversation_id: int, user_id: int) -> Response:
        """Remove a member, or leave."""
        allow_send(_me(request).pk)
        services.remove_member(conversation_id=conversation_id, by=_me(request), user_id=user_id)
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
