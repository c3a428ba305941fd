"""`manage.py token ana`: prints an access token, for wscat and curl."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.selectors import user_named
from accounts.tokens import access_token


class Command(BaseCommand):
    help = "Print an access token of a user, and nothing else."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="a username or an e-mail")

    def handle(self, *args: Any, **options: Any) -> None:
        user = user_named(options["name"])
        if user is None:
            raise CommandError(f"There is no user {options['name']!r}.")
        if not user.is_active:
            raise CommandError(f"The account of {options['name']!r} is disabled.")
        self.stdout.write(access_token(user))
