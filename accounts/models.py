"""Users, the sessions they are signed in with, and the one-time tickets that open sockets."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from asgiref.sync import sync_to_async
from django.contrib.auth.hashers import check_password
from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import hashing, names
from accounts.errors import TooManyPasswordsError
from accounts.handles import NAMED, Handle, UserManager, is_taken
from accounts.signals import access_withdrawn, account_switched, renamed
from realtime import announcing, log, user_topic

__all__ = ["FORGOTTEN", "Forgetting", "Handle", "Session", "Ticket", "User", "forgotten_name"]

#: The prefix of a forgotten user's username.
FORGOTTEN = "deleted user "
#: The columns of a user that give access.
ACCESS = frozenset({"password", "is_active"})
#: The columns whose change has consequences.
WATCHED = (*sorted(ACCESS), "username")


class User(AbstractUser):
    """A person or a program that signs in, by username or by e-mail, both regardless of case.

    Whoever saves a new password or `is_active=False` (a service, the admin, a shell) withdraws access:
    `save()` compares with the stored row and signs the user out everywhere in the same transaction.
    It reads the row instead of remembering what it loaded, so a stale instance cannot slip an old
    password back unnoticed. A new username, and an account that is switched off or on, are told too.
    `QuerySet.update()` does not pass here; it stops new requests all the same, because every credential is
    checked against the stored row.
    """

    # NULL for none: "" would be one e-mail that two users cannot share.
    email = models.EmailField(_("email address"), blank=True, null=True)  # type: ignore[assignment]  # noqa: DJ001 - it is a str in Django
    language = models.CharField(
        _("language"),
        max_length=16,
        blank=True,
        default="",
        help_text=_("The language of this user's notifications; empty for the server's own."),
    )
    # The database knows the defaults too: while versions change, servers of the one before add users.
    shares_receipts = models.BooleanField(
        _("shares receipts"),
        default=True,
        db_default=True,
        help_text=_("Whether others are told how far this user has received and read."),
    )
    shares_typing = models.BooleanField(
        _("shares typing"),
        default=True,
        db_default=True,
        help_text=_("Whether others are told that this user types."),
    )

    objects: ClassVar[UserManager] = UserManager()

    class Meta(AbstractUser.Meta):
        constraints = [
            # "Ana" beside "ana" is how one person is taken for another.
            models.UniqueConstraint(
                Lower("username"),
                name="accounts_user_username_ci",
                violation_error_message=_("A user with that username already exists."),
            ),
            models.UniqueConstraint(
                Lower("email"),
                name="accounts_user_email_ci",
                violation_error_message=_("This e-mail is taken."),
            ),
        ]

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.email = self.email or None
        written = kwargs.get("update_fields")
        is_watched = written is None or not set(WATCHED).isdisjoint(written)
        if self.pk is None or not is_watched:
            with transaction.atomic():  # with the handles, which follow by a signal
                super().save(*args, **kwargs)
            return
        with announcing():
            # Locked, so that of two savers the second compares with what the first one stored.
            stored = User.objects.select_for_update(no_key=True).filter(pk=self.pk)
            before = stored.values_list(*WATCHED, named=True).first()
            if before is not None and before.username != self.username:
                # The name last. What else has consequences takes sessions, conversations and members, which
                # others hold who still need this user's topic or, to commit, a row that nobody renames.
                changed = ACCESS if written is None else ACCESS.intersection(written)
                if changed:
                    stored.update(**{field: getattr(self, field) for field in changed})
                    before = self._follow_access(before, stored)
                # Before the row: who tells this user something has their topic, and needs the row to commit.
                log.lock([user_topic(self.pk)])
            super().save(*args, **kwargs)
            if before is not None:
                after = self._follow_access(before, stored)
                if before.username != after.username:
                    renamed.send(sender=User, user=self)

    def _follow_access(self, before: Any, stored: models.QuerySet[User, Any]) -> Any:
        """Announce what became of the access that the row gave before; returns the row as it is now."""
        after = stored.values_list(*WATCHED, named=True).get()
        disabled = before.is_active and not after.is_active
        if disabled or before.password != after.password:
            access_withdrawn.send(sender=User, user=self, disabled=disabled)
        if before.is_active != after.is_active:
            account_switched.send(sender=User, user=self)
        return after

    def validate_constraints(self, exclude: Any = None) -> None:
        """Also check, for forms, that a name neither is nor looks like another user's."""
        super().validate_constraints(exclude=exclude)
        faults = {}
        for field in NAMED.difference(exclude or ()):
            name = getattr(self, field) or ""
            if name and is_taken(name, by_other_than=self.pk):
                faults[field] = _("Somebody else has this name, or one that looks like it.")
            elif field == "username" and names.mixes_scripts(name) and not self._is_named(name):
                faults[field] = _("The letters of a name must belong to one script.")
        if faults:
            raise ValidationError(faults)

    def _is_named(self, name: str) -> bool:
        """Whether this is the stored username: an old one may break rules that new ones must keep."""
        return User.objects.filter(pk=self.pk, username=name).exists()

    def check_password(self, raw_password: str | None) -> bool:
        return check_password(raw_password, self.password, self._renew_hash)

    async def acheck_password(self, raw_password: str | None) -> bool:
        return await sync_to_async(self.check_password)(raw_password)

    def _renew_hash(self, raw_password: str) -> None:
        """Replace an outdated hash of the password that was just checked, without signing anybody out."""
        checked = self.password
        try:
            with hashing.turn(waits=False):
                self.set_password(raw_password)
        except TooManyPasswordsError:
            return  # others wait for the turn to hash: the next sign-in renews it
        self._password = None  # the password has not changed
        # Only the hash that was checked: a new password may have been stored meanwhile.
        User.objects.filter(pk=self.pk, password=checked).update(password=self.password)


def forgotten_name(user_id: int) -> str:
    """The username of somebody who was forgotten; the blanks keep it from being registered."""
    return f"{FORGOTTEN}{user_id}"


class Forgetting(models.Model):
    """A user who is being forgotten: data that is needed until that is finished, and deleted then."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, primary_key=True, related_name="+")
    username = models.CharField(max_length=150)
    email = models.CharField(max_length=254, blank=True)
    deletes_messages = models.BooleanField(default=False)
    begun_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return forgotten_name(self.user_id)


class Session(models.Model):
    """One sign-in on one device. Its id is the `sid` claim of every token it was given."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sessions")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    #: When it last signed in or refreshed. Requests do not move it: they only read.
    last_used_at = models.DateTimeField(default=timezone.now, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    user_agent = models.CharField(max_length=200, blank=True, editable=False)
    address = models.CharField(max_length=64, blank=True, editable=False)

    class Meta:
        indexes = [models.Index(fields=["user", "-last_used_at"], name="accounts_session_by_user")]

    def __str__(self) -> str:
        return f"{self.user_id} {self.user_agent or self.id}"


class Ticket(models.Model):
    """The right to open one socket, once, within seconds; see `tickets.py`."""

    #: SHA-256 of the secret, in hexadecimal: nobody who reads the table can open a socket.
    digest = models.CharField(max_length=64, primary_key=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="+", null=True)
    #: The Origin of the page that asked; empty when a program did.
    origin = models.CharField(max_length=300, blank=True)
    expires_at = models.DateTimeField(db_index=True)
    #: When the access token that bought the ticket ends, and with it the socket.
    token_expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.user_id} until {self.expires_at:%H:%M:%S}"
