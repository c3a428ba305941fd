"""Fills the handles. A migration of its own: PostgreSQL makes the unique key when the one before ends."""

import logging
from itertools import islice
from typing import Any

from django.db import migrations

from accounts.names import key_of

logger = logging.getLogger("accounts.handles")

BATCH = 1_000


def fill(apps: Any, schema_editor: Any) -> None:
    """Give every user the handles of their names, the usernames first, and of those the oldest.

    Who shares a name with somebody before them keeps it: they sign in as before, the handle is marked as
    disputed, and both are named, here and by `manage.py doctor`.
    """
    database = schema_editor.connection.alias
    users = apps.get_model("accounts", "User").objects.using(database)
    handles = apps.get_model("accounts", "Handle").objects.using(database)
    for field in ("username", "email"):
        named = users.exclude(**{field: None}).order_by("pk").values_list("pk", field).iterator()
        while batch := list(islice(named, BATCH)):
            keys = [(key_of(name), pk) for pk, name in batch if name]
            owners = dict(
                handles.filter(key__in=[key for key, _ in keys], disputed=0).values_list("key", "user_id")
            )
            rows = []
            for key, pk in keys:
                owner = owners.setdefault(key, pk)
                if owner != pk:
                    logger.warning(
                        "Users %s and %s have names that are taken for each other: rename one (the %s of the second)",
                        owner,
                        pk,
                        field,
                    )
                rows.append(handles.model(key=key, user_id=pk, disputed=0 if owner == pk else pk))
            # A user whose e-mail is their username has one handle.
            handles.bulk_create(rows, ignore_conflicts=True)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_handles"),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
