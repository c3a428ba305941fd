"""`manage.py prune_log`: forget old events now; every server does it daily, as one of its chores."""

from typing import Any

from django.core.management.base import BaseCommand

from realtime.log.retention import prune_all


class Command(BaseCommand):
    help = "Forget logged events that are older than their topic's retention."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{prune_all()} events forgotten")
