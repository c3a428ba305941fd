"""Accounts in the Django admin; a change made here signs users out as any other writer's does."""

from __future__ import annotations

import shlex
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import AdminSite
from django.contrib.admin.actions import delete_selected
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db import IntegrityError
from django.db.models import QuerySet
from django.forms import ModelForm, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts import hashing, selectors, services
from accounts.models import Session, User
from accounts.throttling import count_old_password, count_sign_in
from realtime import RateLimitedError

#: `forget_user` commands that are shown to an administrator who tried to delete many users.
COMMANDS_SHOWN = 10


class SignInForm(AdminAuthenticationForm):
    """The admin's form for signing in; staff are under the same limits as everybody."""

    def clean(self) -> dict[str, Any]:
        try:
            count_sign_in(self.request, str(self.cleaned_data.get("username", "")))
        except RateLimitedError as error:
            raise ValidationError(error.message, code=error.code) from error
        return super().clean()


def change_password(request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
    """The admin's page for one's own password; guesses at the old one are limited as everywhere."""
    if request.method == "POST" and isinstance(request.user, User):
        count_old_password(request, request.user)
    return AdminSite.password_change(admin.site, request, extra_context)


admin.site.login_form = SignInForm
admin.site.password_change = change_password  # type: ignore[assignment]  # the site has no other place for it


@admin.register(User)
class UserAdmin(DjangoUserAdmin):
    """Saving a password or an unticked "active" signs the user out: `User.save` sees to it.

    A changed switch reaches the open sockets from here, as it does from the API.
    """

    list_display = ("username", "email", "is_active", "is_staff", "date_joined")
    fieldsets = (
        *(DjangoUserAdmin.fieldsets or ()),
        (_("Preferences"), {"fields": ("language", *services.SWITCHES)}),
    )
    add_fieldsets = (
        *DjangoUserAdmin.add_fieldsets,
        (None, {"classes": ("wide",), "fields": ("email", "language")}),
    )
    actions = ("deactivate", "sign_out_everywhere", "delete_selected")

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method != "POST":
            return super().add_view(request, *args, **kwargs)
        with hashing.turn():  # before the transaction: nobody waits for a turn inside of one
            return super().add_view(request, *args, **kwargs)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except IntegrityError:  # the form found the name free, and by now it is not
            self.message_user(request, _("Somebody else took this name meanwhile."), messages.ERROR)
            return redirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: User, form: ModelForm[User], change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and not set(form.changed_data).isdisjoint(services.SWITCHES):
            services.sharing_was_changed(user_id=obj.pk)

    @admin.action(description=_("Disable the selected users"), permissions=["change"])
    def deactivate(self, _request: HttpRequest, users: QuerySet[User]) -> None:
        for user in users.filter(is_active=True):
            services.deactivate(user=user)

    @admin.action(description=_("Sign the selected users out everywhere"), permissions=["change"])
    def sign_out_everywhere(self, _request: HttpRequest, users: QuerySet[User]) -> None:
        for user in users:
            services.revoke_all(user=user)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        user = self.get_object(request, unquote(object_id))
        if (
            user is not None
            and self.has_delete_permission(request, user)
            and self._are_for_the_command(request, User.objects.filter(pk=user.pk))
        ):
            return redirect("admin:accounts_user_change", user.pk)
        return super().delete_view(request, object_id, extra_context)

    @admin.action(description=_("Delete the selected users"), permissions=["delete"])
    def delete_selected(self, request: HttpRequest, users: QuerySet[User]) -> HttpResponse | None:
        if self._are_for_the_command(request, users):
            return None
        answer: HttpResponse | None = delete_selected(self, request, users)
        return answer

    def _are_for_the_command(self, request: HttpRequest, users: QuerySet[User]) -> bool:
        """Whether some of the users can only be forgotten, which may take longer than a request."""
        kept = selectors.kept_by_others(users)
        for name in kept.values_list("username", flat=True)[:COMMANDS_SHOWN]:
            command = f"manage.py forget_user {shlex.quote(name)} --messages=anonymise|delete --yes"
            told = _("%(name)s has said something. Run %(command)s")
            self.message_user(request, told % {"name": name, "command": command}, messages.WARNING)
        return kept.exists()


@admin.register(Session)
class SessionAdmin(admin.ModelAdmin):
    """Sessions in the admin: they begin by signing in, and can only be ended here."""

    list_display = ("user", "user_agent", "address", "created_at", "last_used_at", "revoked_at")
    list_select_related = ("user",)
    search_fields = ("user__username", "user__email", "address")
    actions = ("sign_out",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Session | None = None) -> bool:
        return False

    @admin.action(description=_("Sign the selected sessions out"), permissions=["delete"])
    def sign_out(self, request: HttpRequest, sessions: QuerySet[Session]) -> None:
        live = list(sessions.filter(revoked_at=None).select_related("user"))
        for session in live:
            services.revoke_session(user=session.user, session_id=session.pk)
        told = ngettext("%d session was signed out.", "%d sessions were signed out.", len(live))
        self.message_user(request, told % len(live), messages.SUCCESS)
