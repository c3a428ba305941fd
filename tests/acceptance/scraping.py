"""Reads /metrics of a running server."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Callable
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.servers import ServerProcess

#: A connection that is given to a starting worker waits until that worker has started.
ANSWER_SECONDS = 60

Shown = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(server: ServerProcess) -> Shown:
    """Every value that the page shows, by name and labels."""
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=ANSWER_SECONDS) as answer:
        text = answer.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(shown: Shown, name: str, **labels: str) -> float:
    return shown.get((name, tuple(sorted(labels.items()))), 0.0)


async def shows(
    server: ServerProcess, condition: Callable[[Shown], Any], *, seconds: float = ANSWER_SECONDS
) -> Shown:
    """Scrape until the condition holds."""
    async with asyncio.timeout(seconds):
        while not condition(shown := await asyncio.to_thread(scrape, server)):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
    return shown
