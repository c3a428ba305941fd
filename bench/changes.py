"""What triggers cost: writes to a table that is watched against the same that is not, on both databases.

    python bench/changes.py            # SQLite in a temporary file, and a PostgreSQL that waits for its disk

The table has seven columns and two indexes. Each figure is the median of nine pairs, taken in turn. Ends by
itself, and leaves nothing behind.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


NAMES = "name, status, total, amount, paid, created_at"


class Bench:
    """Two tables on one database, of which one is watched."""

    def __init__(self, *, rows: int, pairs: int) -> None:
        from django.core.management import call_command
        from django.db import connection, models

        from changes import triggers, watch_table
        from changes.registry import collections

        self.rows, self.pairs = rows, pairs
        call_command("migrate", verbosity=0)
        self.connection = connection
        self.where = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[connection.vendor]
        fields: dict[str, Any] = {
            "name": models.CharField(max_length=100, db_index=True),
            "status": models.CharField(max_length=20),
            "total": models.DecimalField(max_digits=10, decimal_places=2),
            "amount": models.IntegerField(),
            "paid": models.BooleanField(),
            "created_at": models.DateTimeField(db_index=True),
        }
        self.models: dict[str, Any] = {}
        for name in ("plain", "watched", "source"):
            meta = type("Meta", (), {"app_label": "changes", "db_table": name})
            attributes = {"__module__": __name__, "Meta": meta, **{n: f.clone() for n, f in fields.items()}}
            self.models[name] = type(name.capitalize(), (models.Model,), attributes)
            with connection.schema_editor() as editor:
                editor.create_model(self.models[name])
        watch_table("watched", name="watched", fields="*")
        assert triggers.install(collections()) == []
        self.bulk_create("source")

    def sql(self, text: str) -> None:
        """Run a statement."""
        with self.connection.cursor() as cursor:
            cursor.execute(text)

    def bulk_create(self, table: str) -> None:
        """Create all rows as an app does."""
        model, moment = self.models[table], dt.datetime(2026, 12, 1, 10, 30, 0, 123456, tzinfo=dt.UTC)
        model.objects.bulk_create(
            model(name=f"name {n}", status="open", total="12.50", amount=n, paid=False, created_at=moment)
            for n in range(self.rows)
        )

    def fill(self, table: str) -> None:
        """Create all rows in one statement."""
        self.sql(f"INSERT INTO {table} ({NAMES}) SELECT {NAMES} FROM source")

    def update(self, table: str) -> None:
        """Change all rows in one statement."""
        self.sql(f"UPDATE {table} SET amount = amount + 1")

    def delete(self, table: str) -> None:
        """Delete all rows in one statement."""
        self.sql(f"DELETE FROM {table}")

    def prepare(self, *, filled: bool) -> None:
        """Make both tables full, or empty; nothing waits for the reader."""
        for table in ("plain", "watched"):
            self.delete(table)
            if filled:
                self.fill(table)
        self.sql("DELETE FROM changes_notedchange")
        if self.connection.vendor == "postgresql":
            self.sql("VACUUM ANALYZE")

    def compare(self, what: str, write: Callable[[str], None], *, filled: bool) -> None:
        """Print what a write takes with and without the watch."""
        taken: dict[str, list[float]] = {"plain": [], "watched": []}
        for pair in range(self.pairs):
            self.prepare(filled=filled)
            for table in ("plain", "watched") if pair % 2 else ("watched", "plain"):
                began = time.perf_counter()
                write(table)
                taken[table].append((time.perf_counter() - began) * 1000)
        without, with_it = (statistics.median(taken[table]) for table in ("plain", "watched"))
        factor = statistics.median(b / a for a, b in zip(taken["plain"], taken["watched"], strict=True))
        print(f"| {self.where}, {what} | {without:.0f} ms | {with_it:.0f} ms | {factor:.2f} × |", flush=True)

    def read(self) -> None:
        """Print what the reader takes."""
        from changes.reader import read_some

        self.prepare(filled=False)
        self.fill("watched")
        began, read = time.perf_counter(), 0
        while taken := read_some():
            read += len(taken)
        assert read == self.rows
        took = (time.perf_counter() - began) * 1000
        print(f"| {self.where}, the reader moves {self.rows:,} changes | | {took:.0f} ms | |", flush=True)


def on_this_database(rows: int, pairs: int) -> None:
    """Measure on the database of DATABASE_URL, which is empty."""
    import django

    django.setup()
    bench = Bench(rows=rows, pairs=pairs)
    bench.compare(f"`bulk_create` of {rows:,} rows", bench.bulk_create, filled=False)
    bench.compare(f"`INSERT … SELECT` of {rows:,} rows", bench.fill, filled=False)
    bench.compare(f"`UPDATE` of {rows:,} rows", bench.update, filled=True)
    bench.compare(f"`DELETE` of {rows:,} rows", bench.delete, filled=True)
    bench.read()


def on_each_database(rows: int, pairs: int) -> None:
    """Run each database in a process of its own."""
    from bench.workbench import DurablePostgres
    from tests import services

    print("| | without | watched | |\n| --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        sqlite = f"sqlite:///{directory}/changes.sqlite3"
        with DurablePostgres() as server:
            for url in (sqlite, services.create_database(server.url, "changes")):
                here = ["--here", "--rows", str(rows), "--pairs", str(pairs)]
                subprocess.run([sys.executable, __file__, *here], env=environment(url), cwd=ROOT, check=True)


def environment(url: str) -> dict[str, str]:
    """The product's, on a database of its own."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "ENV_FILE": os.devnull,
        "SECRET_KEY": "only-for-measuring-and-as-long-as-a-real-one-has-to-be",
        "DEMO_ENABLED": "",
        "DATABASE_URL": url,
        "REDIS_URL": "",
    }


def main() -> None:
    """Measure, as the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=10_000, help="rows of each write")
    parser.add_argument("--pairs", type=int, default=9, help="writes to each of the two tables")
    parser.add_argument("--here", action="store_true", help="on the empty database of DATABASE_URL")
    wish = parser.parse_args()
    measure = on_this_database if wish.here else on_each_database
    measure(wish.rows, wish.pairs)


if __name__ == "__main__":
    main()
