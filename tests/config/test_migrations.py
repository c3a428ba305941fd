"""`migrate` runs while servers of the version before serve: it locks nothing for longer than a moment."""

from __future__ import annotations

import io
import re

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

pytestmark = [pytest.mark.stack("full"), pytest.mark.django_db(transaction=True)]

OURS = ("accounts", "changes", "chat", "demo", "notifications", "realtime")


def sql_of(app: str, name: str) -> str:
    said = io.StringIO()
    call_command("sqlmigrate", app, name, stdout=said)
    return said.getvalue()


def test_no_migration_keeps_writers_from_a_table_while_it_reads_all_of_it():
    """An index is made beside the writers, or on a table that is as new as the index."""
    loader, found = MigrationLoader(connection), []
    for app, name in sorted(key for key in loader.disk_migrations if key[0] in OURS):
        sql = sql_of(app, name)
        new = set(re.findall(r'CREATE TABLE "(\w+)"', sql))
        for beside, table in re.findall(r'CREATE (?:UNIQUE )?INDEX (CONCURRENTLY )?[^;]* ON "(\w+)"', sql):
            if table not in new and not beside:
                found.append((app, name, table))

    assert found == []


def test_index_whose_making_was_interrupted_is_made_again():
    executor = MigrationExecutor(connection)
    executor.migrate([("chat", "0003_departure")])
    with connection.cursor() as cursor:
        # An index of another shape.
        cursor.execute("CREATE INDEX chat_message_deleted ON chat_message (deleted_seq)")
    try:
        MigrationExecutor(connection).migrate([("chat", "0004_message_deleted_index")])
        with connection.cursor() as cursor:
            cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'chat_message_deleted'")
            [(definition,)] = cursor.fetchall()
    finally:
        executor = MigrationExecutor(connection)
        executor.migrate(executor.loader.graph.leaf_nodes())

    assert "(conversation_id, deleted_seq) WHERE (deleted_seq IS NOT NULL)" in definition
