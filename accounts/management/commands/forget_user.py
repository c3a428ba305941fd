"""`manage.py forget_user ana --messages=anonymise --yes`: forgets a user, of whom only a number is left."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.forgetting import forget, in_progress
from accounts.models import User
from accounts.selectors import user_named

#: Within 5 s a process has heard that the account is closed, whatever bells were lost; within 2 more what it
#: was storing is stored.
SETTLING_SECONDS = 8


class Command(BaseCommand):
    help = (
        "Forget a user: close the account, take the name out of all that is stored, and keep their messages "
        "without it, or delete them. It cannot be undone. May run beside the server; one that was killed is "
        "finished by the same command."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="a username or an e-mail")
        parser.add_argument(
            "--messages",
            required=True,
            choices=["anonymise", "delete"],
            help="whether what they said stays, without their name, or goes",
        )
        parser.add_argument("--yes", action="store_true", help="do it; without this nothing is done")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"]
        user = _named(name)
        if user is None:
            raise CommandError(f"There is no user {name!r}, or they are forgotten already.")
        what = "deleted" if options["messages"] == "delete" else "kept without a name"
        if not options["yes"]:
            raise CommandError(
                f"User {user.pk} ({user.username}) would be forgotten for ever, their messages {what}. "
                "Nothing was done: say --yes."
            )
        deletes = options["messages"] == "delete"
        done = forget(user, deletes_messages=deletes, settle=lambda: time.sleep(SETTLING_SECONDS))
        for report, count in done:
            self.stdout.write(f"{count:>9}  {report}")
        self.stdout.write(self.style.SUCCESS(f"User {user.pk} is forgotten; their messages are {what}."))


def _named(name: str) -> User | None:
    """The user of a name; one whose forgetting is unfinished comes before one who took the name since."""
    begun = in_progress(name)
    return begun.user if begun else user_named(name)
