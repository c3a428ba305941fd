"""Empties the tables after a test that commits, but for two whose rows are the same in each database.

Django's own way is the `flush` command, which empties those two as well and then writes them again, row by
row; that takes longer than many a test.
"""

import pytest
from django.core.management.color import no_style
from django.db import connections
from django.test import TransactionTestCase

#: The tables that `migrate` fills after the migrations: the models and their permissions.
SAME_EVERYWHERE = {"django_content_type", "auth_permission"}


def empty_what_tests_fill(patch: pytest.MonkeyPatch) -> None:
    """From now on this follows a test with `transactional_db`, instead of `flush`."""
    patch.setattr(TransactionTestCase, "_fixture_teardown", _empty)


def _empty(test: TransactionTestCase) -> None:
    for alias in test._databases_names(include_mirrors=False):  # type: ignore[attr-defined]
        connection = connections[alias]
        tables = set(connection.introspection.django_table_names(only_existing=True, include_views=False))
        emptying = connection.ops.sql_flush(no_style(), sorted(tables - SAME_EVERYWHERE))
        connection.ops.execute_sql_flush(emptying)
