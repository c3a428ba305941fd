"""The entries of inboxes, and the idempotency keys of services."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from notifications.texts import MAX_TITLE_CHARACTERS

#: The condition of collapsed unread entries, of which a user has one per key; `collapsing.py` repeats it.
COLLAPSED = Q(read_at__isnull=True) & ~Q(collapse_key="")


class Notification(models.Model):
    """One entry of a user's inbox, in the words that were shown."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="notifications",
        db_index=False,  # the indexes below begin with it
        verbose_name=_("user"),
    )
    kind = models.CharField(_("kind"), max_length=64)
    data = models.JSONField(_("data"), default=dict)
    title = models.CharField(_("title"), max_length=MAX_TITLE_CHARACTERS)
    message = models.TextField(_("message"))
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    read_at = models.DateTimeField(_("read at"), null=True, editable=False)
    #: While an entry with this key is unread, the next one with the same key is added to it.
    collapse_key = models.CharField(max_length=100, default="", blank=True, editable=False)
    #: The number of things that the entry stands for.
    count = models.PositiveIntegerField(_("count"), default=1, editable=False)
    #: In a collapsed entry: the seq in the source after which the counted things come.
    counted_after = models.BigIntegerField(default=0, db_default=0, editable=False)

    class Meta:
        verbose_name = _("notification")
        verbose_name_plural = _("notifications")
        constraints = [
            models.UniqueConstraint(
                fields=["user", "collapse_key"], condition=COLLAPSED, name="notifications_one_collapsed"
            ),
        ]
        indexes = [
            models.Index(fields=["user", "-id"], name="notifications_inbox"),
            models.Index(fields=["user", "-id"], condition=Q(read_at=None), name="notifications_unread"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} for user {self.user_id}"


class IdempotencyKey(models.Model):
    """A service's request with its answer. The key and the name of the service are kept as hashes."""

    #: SHA-256 of the service's API key: two services may use the same idempotency key.
    scope = models.CharField(max_length=64)
    key = models.CharField(max_length=64)
    #: SHA-256 of the request.
    fingerprint = models.CharField(max_length=64)
    #: The HTTP status of the answer; None while the first request is being answered.
    status = models.PositiveSmallIntegerField(null=True)
    body = models.TextField(default="")
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["scope", "key"], name="notifications_key_once")]

    def __str__(self) -> str:
        return f"{self.key[:8]} {self.status or 'in progress'}"
