"""The table in which triggers note changes until the reader takes them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from changes.registry import MAX_NAME_LENGTH, SOURCE_PREFIX


class NotedChange(models.Model):
    """A change of one row, written by a trigger in the transaction that changed it.

    Only triggers write here, and apps that say that rights changed. Without `old` and `new` it says that
    changes were missed, and of a rights source that everybody's rights may have changed.
    """

    id = models.BigAutoField(primary_key=True)
    #: The name of a collection or of a rights source.
    collection = models.CharField(max_length=MAX_NAME_LENGTH)
    #: What tells the statements apart that changed rows (`noted.Noted.mark`).
    write = models.BigIntegerField()
    #: The row before and after, as JSON texts; NULL where there was none.
    old = models.TextField(null=True)  # noqa: DJ001 - NULL is the row that does not exist
    new = models.TextField(null=True)  # noqa: DJ001 - the same
    #: When its statement ran, in milliseconds since 1970: a number costs a trigger less than a date.
    noted_at = models.BigIntegerField()

    class Meta:
        # The reader takes what is about rights before everything else, and finds out with one look that there
        # is none.
        indexes = [
            models.Index(
                fields=["id"],
                name="changes_noted_of_rights",
                condition=Q(collection__startswith=SOURCE_PREFIX),
            )
        ]

    def __str__(self) -> str:
        return f"{self.collection}:{self.id}"
