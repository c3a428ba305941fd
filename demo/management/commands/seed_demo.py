"""`manage.py seed_demo`: creates people, a conversation and rows of the demo; it can be run again."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from demo import services


class Command(BaseCommand):
    help = (
        "Create what is missing of the demo's users, of their conversation 123 and of the rows they follow."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            done = services.seed()
        except services.CannotSeedError as problem:
            raise CommandError(
                f"{problem} The demo needs a database without it; nothing was changed."
            ) from None
        for username in done.other_password:
            self.stderr.write(f"{username} was there before, with another password, and stays as it is.")
        self.stdout.write(f"Created: {', '.join(done.created)}." if done.created else "Everything was there.")
