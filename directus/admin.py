"""Static tokens in the Django admin: they are set and removed here, and never shown."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from directus import static_tokens
from directus.models import StaticToken
from realtime import RealtimeError


class StaticTokenForm(forms.ModelForm):
    """A user without a static token, and the token."""

    token = forms.CharField(
        label=_("token"),
        min_length=static_tokens.MIN_CHARACTERS,
        max_length=static_tokens.MAX_CHARACTERS,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text=_(
            "It cannot be shown again. It opens everything that the user may do, and does not expire."
        ),
    )

    class Meta:
        model = StaticToken
        fields = ("user",)

    def clean_token(self) -> str:
        token = str(self.cleaned_data["token"])
        try:
            static_tokens.check(token)
        except RealtimeError as error:
            raise forms.ValidationError(error.message) from None
        if static_tokens.is_taken(token):
            raise forms.ValidationError(_("Another user has this token."))
        return token


@admin.register(StaticToken)
class StaticTokenAdmin(admin.ModelAdmin):
    """A user has one token. It is not changed: it is removed, which ends what it opened, and set anew."""

    form = StaticTokenForm
    list_display = ("user", "created_at")
    list_select_related = ("user",)
    search_fields = ("user__username", "user__email")
    autocomplete_fields = ("user",)

    def has_change_permission(self, request: HttpRequest, obj: StaticToken | None = None) -> bool:
        return False

    def save_model(
        self, request: HttpRequest, obj: StaticToken, form: forms.ModelForm[Any], change: bool
    ) -> None:
        obj.digest = static_tokens.digest(form.cleaned_data["token"])
        super().save_model(request, obj, form, change)
