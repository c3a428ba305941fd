"""`manage.py anon_key`: prints the key that a page gives to `createClient`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from supabase.keys import anon_key


class Command(BaseCommand):
    help = "Print the anon key of the Supabase dialect, and nothing else."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(anon_key())
