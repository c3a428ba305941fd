"""Notifications in the Django admin: they can be sent and read there, not changed."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.forms.fields import InvalidJSONInput
from django.http import HttpRequest

from notifications import kinds, services
from notifications.errors import InvalidDataError
from notifications.models import Notification
from realtime import RealtimeError, parse_json


class DataField(forms.JSONField):
    """A JSON object under the rules of frames; Django's field raises at a deep one, or half a character."""

    def to_python(self, value: Any) -> Any:
        if value in self.empty_values:
            return None
        try:
            return parse_json(value.encode())
        except RealtimeError as error:
            raise ValidationError("This is not a JSON object, or one that cannot be stored.") from error

    def bound_data(self, data: Any, initial: Any) -> Any:
        """The value to show again after an error: the text as it was typed."""
        return InvalidJSONInput(data or "")


class SendForm(forms.ModelForm):
    """The form of a new notification: its recipient, kind and data."""

    kind = forms.ChoiceField(choices=lambda: [(kind.name, kind.title) for kind in kinds.registered()])

    class Meta:
        model = Notification
        fields = ("user", "kind", "data")
        field_classes = {"data": DataField}

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if "kind" in cleaned and "data" in cleaned:
            try:
                cleaned["data"] = kinds.get(cleaned["kind"]).clean(cleaned["data"])
            except InvalidDataError as error:
                raise ValidationError({"data": error.message}) from error
        return cleaned


@admin.register(Notification)
class NotificationAdmin(admin.ModelAdmin):
    """Notifications in the admin; a new one goes through `notify`, and so reaches the user's open sockets."""

    list_display = ("id", "user", "kind", "title", "count", "created_at", "read_at")
    list_filter = ("kind", ("read_at", admin.EmptyFieldListFilter))
    list_select_related = ("user",)
    search_fields = ("user__username", "user__email")
    autocomplete_fields = ("user",)
    readonly_fields = ("title", "message", "created_at", "read_at", "count")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:  # noqa: FBT002 - Django's signature
        return super().get_form(request, obj, change, **kwargs if change else {**kwargs, "form": SendForm})

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return super().get_fields(request, obj) if obj else ("user", "kind", "data")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Notification, form: Any, change: bool) -> None:
        stored = services.notify(user=obj.user, kind=obj.kind, data=obj.data)
        obj.pk, obj.title = stored.pk, stored.title
