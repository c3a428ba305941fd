"""Static tokens: credentials of users that do not expire."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class StaticToken(models.Model):
    """The static token of a user. A new token is a new row: what the old one opened ends with its row."""

    # It stands in the place of a session's id in the identity that the token gives.
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # Without a constraint: where the dialect was turned off again, Django does not know this table, and a
    # user who has a row in it could not be deleted. A token without a user is nobody's.
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="static_token",
        verbose_name=_("user"),
        db_constraint=False,
    )
    #: SHA-256 of the token, in hexadecimal: nobody who reads the table can use it.
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("static token")
        verbose_name_plural = _("static tokens")

    def __str__(self) -> str:
        return f"{self.user_id} since {self.created_at:%Y-%m-%d}"
