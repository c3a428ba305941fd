"""The chat's paths, below /api/."""

from django.urls import path, register_converter

from chat import api
from realtime.converters import IdConverter

register_converter(IdConverter, "id")

urlpatterns = [
    path("conversations/", api.ConversationsView.as_view()),
    path("conversations/<id:conversation_id>/", api.ConversationView.as_view()),
    path("conversations/<id:conversation_id>/messages/", api.MessagesView.as_view()),
    path("conversations/<id:conversation_id>/messages/<id:message_id>/", api.MessageView.as_view()),
    path("conversations/<id:conversation_id>/members/", api.MembersView.as_view()),
    path("conversations/<id:conversation_id>/members/<id:user_id>/", api.MemberView.as_view()),
    path("conversations/<id:conversation_id>/read/", api.ReadView.as_view()),
    path("conversations/<id:conversation_id>/delivered/", api.DeliveredView.as_view()),
]
