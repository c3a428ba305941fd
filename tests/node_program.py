"""Programs of Node that play an unmodified client against a server, and print what they find.

They print a line of JSON for each case; a line `{"sql": …}` asks for SQL to be run as another program would.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from tests.programs import node
from tests.servers import ServerProcess

#: What a program printed, by case.
Found = dict[str, dict[str, Any]]


def played(program: Path, server: ServerProcess, *arguments: str) -> Found:
    """Run a program, and the SQL that it asks for; returns its lines."""
    said: Found = {}
    with subprocess.Popen(
        [node(), program, server.url, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        for line in running.stdout:
            words = json.loads(line)
            if "sql" in words:
                write(server.database_url, words["sql"])
                running.stdin.write("done\n")
                running.stdin.flush()
            else:
                said[words["case"]] = words
    return said


def write(database_url: str, sql: str) -> None:
    """Run SQL as another program would."""
    if database_url.startswith("sqlite"):
        with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"), timeout=10)) as database:
            database.execute(sql)
            database.commit()
    else:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(sql)
