"""`migrate` removes the triggers that are in the way of a migration, and installs all of them afterwards."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.backends.base.base import BaseDatabaseWrapper

from changes import triggers
from changes.models import NotedChange
from changes.registry import collections

logger = logging.getLogger(__name__)


def before(*, using: str, plan: Sequence[object], **_: object) -> None:
    """Before migrations. SQLite changes no column that a trigger names; PostgreSQL's triggers may stay."""
    if using == DEFAULT_DB_ALIAS and plan and connection.vendor == "sqlite":
        triggers.remove_all()


def after(*, using: str, **_: object) -> None:
    """After migrations: what notes changes is as the apps declare it, or nothing is where it has no table."""
    if using != DEFAULT_DB_ALIAS:
        return
    if NotedChange._meta.db_table not in connection.introspection.table_names():  # noqa: SLF001 - documented
        triggers.remove_all()
        return
    for fault in triggers.install(collections()):
        logger.warning("Nothing notes the changes of %s. %s", fault.collection, fault.what)


def replaced_rows_are_deleted(*, connection: BaseDatabaseWrapper, **_: object) -> None:
    """Let `INSERT OR REPLACE` fire triggers for the rows that it deletes, which SQLite else does not."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA recursive_triggers = ON")
