"""A process that only reads changes, for tests that kill it: `python -m tests.changes.reading`."""

import asyncio
import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from changes.reader import read_changes  # noqa: E402 - models cannot be imported before
from realtime import background  # noqa: E402 - the same


async def main() -> None:
    reader = asyncio.create_task(background.keep_running(read_changes))
    os.write(1, b"reading\n")
    await reader


asyncio.run(main())
