"""The chat's paths, below /api/."""

from django.urls import path, register_converter

from chat import api
from realtime import IdConverter

register_converter(IdConverter, "id")

urlpatterns = [
    path("conversations/", api.ConversationsView.as_view(), name="conversations"),
    path("conversations/<id:conversation_id>/", api.ConversationView.as_view(), name="conversation"),
    path("conversations/<id:conversation_id>/messages/", api.MessagesView.as_view(), name="messages"),
    path(
        "conversations/<id:conversation_id>/messages/<id:message_id>/",
        api.MessageView.as_view(),
        name="message",
    ),
    path("conversations/<id:conversation_id>/members/", api.MembersView.as_view(), name="members"),
    path("conversations/<id:conversation_id>/members/<id:user_id>/", api.MemberView.as_view(), name="member"),
    path("conversations/<id:conversation_id>/read/", api.ReadView.as_view(), name="conversation-read"),
    path(
        "conversations/<id:conversation_id>/delivered/",
        api.DeliveredView.as_view(),
        name="conversation-delivered",
    ),
]
