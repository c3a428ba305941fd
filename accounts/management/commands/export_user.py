"""`manage.py export_user ana --to DIR`: exports what is stored of a user as one JSON document."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.leaving import sections
from accounts.models import User
from accounts.selectors import user_named
from realtime import events

FORMAT = "relais.user.1"


class Command(BaseCommand):
    help = "Write what is stored of a user as JSON, to standard output or into a file that only you can read."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="a username or an e-mail")
        parser.add_argument("--to", type=Path, metavar="DIR", help="write DIR/user-<id>.json")

    def handle(self, *args: Any, **options: Any) -> None:
        user = user_named(options["name"])
        if user is None:
            raise CommandError(f"There is no user {options['name']!r}.")
        if options["to"] is None:
            for text in document(user):
                self.stdout.write(text, ending="")
            return
        file = options["to"] / f"user-{user.pk}.json"
        try:
            _write(file, document(user))
        except OSError as error:
            raise CommandError(f"{file} could not be written: {error.strerror}.") from error
        self.stdout.write(str(file))


def document(user: User) -> Iterator[str]:
    """The pieces of the document: a list for each section, a row at a time."""
    yield f'{{"format":"{FORMAT}","exported_at":"{events.now().isoformat()}"'
    for section in sections():
        yield f',\n"{section.name}":['
        for number, row in enumerate(section.rows(user)):
            yield (",\n" if number else "\n") + events.encode(dict(row))
        yield "]"
    yield "}\n"


def _write(file: Path, pieces: Iterator[str]) -> None:
    """Write whole or not at all: under another name until it is finished, readable only by its owner."""
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            out.writelines(pieces)
        part.replace(file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
