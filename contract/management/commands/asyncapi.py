"""The command `manage.py asyncapi`: prints the contract of the sockets, as /api/asyncapi.json serves it."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand

from contract import asyncapi


class Command(BaseCommand):
    help = "Print the AsyncAPI document of the sockets."
    # A deployment's settings do not change the contract, so they are not checked.
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(json.dumps(asyncapi.document(), indent=2, ensure_ascii=False))
