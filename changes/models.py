"""The table in which triggers note changes until the reader takes them."""

from __future__ import annotations

from django.db import models

#: The longest name of a collection: PostgreSQL cuts names of triggers, which contain it, at 63 bytes.
MAX_NAME_LENGTH = 40


class NotedChange(models.Model):
    """A change of one row, written by a trigger in the transaction that changed it.

    Only triggers write here. Without `old` and `new` it says that changes were missed.
    """

    id = models.BigAutoField(primary_key=True)
    collection = models.CharField(max_length=MAX_NAME_LENGTH)
    #: What tells the statements apart that changed rows (`noted.Noted.mark`).
    write = models.BigIntegerField()
    #: The row before and after, as JSON texts; NULL where there was none.
    old = models.TextField(null=True)  # noqa: DJ001 - NULL is the row that does not exist
    new = models.TextField(null=True)  # noqa: DJ001 - the same
    #: When its statement ran, in milliseconds since 1970: a number costs a trigger less than a date.
    noted_at = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.collection}:{self.id}"
