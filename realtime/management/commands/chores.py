"""`manage.py chores`: forget now what has expired, as every server does once a day by itself."""

from typing import Any

from django.core.management.base import BaseCommand

from realtime.chores import registered


class Command(BaseCommand):
    help = "Forget what has expired: old events of users, used-up tokens, sessions of the admin, keys."

    def handle(self, *_args: Any, **_options: Any) -> None:
        for chore in registered():
            self.stdout.write(f"{chore.name}: {chore.do()} forgotten")
