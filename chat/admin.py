"""Conversations in the Django admin, which writes through the services, so that every change is announced."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from accounts.models import User
from chat import services
from chat.models import Conversation, Message, Participant
from chat.services import clean_content
from chat.services.conversations import MAX_TITLE_LENGTH
from realtime import RealtimeError, clean_text


def _cleaned(clean: Callable[[str], str], text: str) -> str:
    """Clean a text as the services do; what they would refuse is an error of the form's field."""
    try:
        return clean(text)
    except RealtimeError as error:
        raise forms.ValidationError(error.message) from error


class ConversationForm(forms.ModelForm):
    def clean_title(self) -> str:
        return _cleaned(partial(clean_text, max_length=MAX_TITLE_LENGTH), self.cleaned_data["title"])


class MessageForm(forms.ModelForm):
    def clean_content(self) -> str:
        return _cleaned(clean_content, self.cleaned_data["content"])


class ParticipantInline(admin.TabularInline):
    model = Participant
    extra = 0
    can_delete = False
    readonly_fields = ("user", "role", "joined_at", "joined_seq", "delivered_seq", "read_seq")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # members join and leave through the members' API, which announces it


@admin.register(Conversation)
class ConversationAdmin(admin.ModelAdmin):
    form = ConversationForm
    list_display = ("id", "kind", "title", "created_at")
    list_filter = ("kind",)
    search_fields = ("title", "participants__user__username")
    readonly_fields = ("kind", "created_by", "created_at")
    inlines = (ParticipantInline,)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # a conversation is created by the API, together with its members

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # its log would be deleted too, from under open sockets

    def save_model(self, request: HttpRequest, obj: Conversation, form: Any, change: bool) -> None:
        if "opens_history" in form.changed_data:
            obj.save(update_fields=["opens_history"])
        if "title" in form.changed_data:
            services.set_title(conversation=obj, by=cast("User", request.user), title=obj.title)


@admin.register(Message)
class MessageAdmin(admin.ModelAdmin):
    form = MessageForm
    list_display = ("id", "conversation", "sender", "seq", "created_at", "edited_at", "deleted_at")
    search_fields = ("sender__username",)
    readonly_fields = ("conversation", "sender", "seq", "client_id", "created_at", "edited_at", "deleted_at")
    list_select_related = ("conversation", "sender")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # staff do not write in another user's name

    def has_change_permission(self, request: HttpRequest, obj: Message | None = None) -> bool:
        is_gone = obj is not None and obj.deleted_at is not None
        return not is_gone and super().has_change_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: Message, form: Any, change: bool) -> None:
        if "content" in form.changed_data:
            services.moderate_message(message_id=obj.pk, by=cast("User", request.user), content=obj.content)

    def delete_model(self, request: HttpRequest, obj: Message) -> None:
        if obj.deleted_at is None:
            services.moderate_message(message_id=obj.pk, by=cast("User", request.user), content=None)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for message in queryset:
            self.delete_model(request, message)
