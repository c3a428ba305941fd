"""P7: a page of 50 messages out of a million, at any position, over REST."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any

from bench import progress
from bench.latencies import Latencies, median
from bench.relais import Conversation, Relais, run_in
from bench.results import Outcome, Plot, Series, Table, at_most, spread
from bench.workbench import KINDS, Database, Workbench

MESSAGES = 1_000_000
PAGE = 50
#: The measured positions, as a share of the history from its beginning.
POSITIONS = (0.001, 0.25, 0.5, 0.75, 1.0)
REQUESTS = 100
DATABASES: tuple[Database, ...] = ("sqlite", "postgresql")


def measure(bench: Workbench) -> Outcome:
    """Measure both databases and both servers."""
    outcome = Outcome(f"History: {PAGE} of {MESSAGES:,} messages (P7)")
    rows, curves = [], []
    total = bench.effort.sized(MESSAGES, least=1000)
    for database in DATABASES:
        for kind in KINDS:
            name = f"{kind}, {database}"
            with bench.part() as part:
                server = part.relais(kind, database=database)
                progress.say(f"history: {name}: making {total:,} messages")
                [conversation] = server.fixture(members=10, history=total)
                reader = Reader(server, conversation, total)
                reader.read(POSITIONS[0], REQUESTS // 5)  # warms caches and connections
                runs = [[reader.read(at, REQUESTS) for at in POSITIONS] for _ in range(part.effort.runs)]
                page, token = reader.count_queries()
            by_position = [[run[index] for run in runs] for index in range(len(POSITIONS))]
            slowest = max(median([t.percentile(99) for t in found]) for found in by_position)
            rows += [
                [
                    name,
                    f"{at:.0%}",
                    *[spread([t.percentile(p) for t in found]) for p in (50, 99)],
                    f"{page} + {token}",
                ]
                for at, found in zip(POSITIONS, by_position, strict=True)
            ]
            medians = [median([t.percentile(50) for t in found]) for found in by_position]
            curves.append(Series(name, [(at * 100, m) for at, m in zip(POSITIONS, medians, strict=True)]))
            outcome.marks += [
                at_most("P7", f"{name}: p99 ≤ 20 ms at every position", slowest, 20, unit=" ms"),
                at_most("P7", f"{name}: ≤ 3 queries for the page", page, 3),
                at_most(
                    "P7",
                    f"{name}: flat (slowest position ≤ 1.5× the fastest)",
                    max(medians) / min(medians),
                    1.5,
                ),
            ]
    header = ["server", "position", "p50 ms", "p99 ms", "queries: page + token"]
    outcome.tables.append(Table(f"{REQUESTS} pages at each position, one after the other", header, rows))
    outcome.plots.append(Plot("history", "A page of history", "position, %", "p50, milliseconds", curves))
    return outcome


class Reader:
    """A member who reads page after page on one connection."""

    def __init__(self, server: Relais, conversation: Conversation, total: int) -> None:
        self._server, self._conversation, self._total = server, conversation, total
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        self._headers = {"Authorization": f"Bearer {conversation.tokens[0]}"}

    def path(self, at: float) -> str:
        """The path of the page that ends at a share of the history."""
        before = max(PAGE + 1, int(self._total * at)) + 1
        return (
            f"/api/conversations/{self._conversation.conversation_id}/messages/?before={before}&limit={PAGE}"
        )

    def read(self, at: float, count: int) -> Latencies:
        """Read pages near a position, no two the same."""
        times = []
        for turn in range(count):
            path = self.path(max(0.0, at - turn * PAGE / self._total))
            began = time.monotonic_ns()
            answer = self._get(path)
            times.append(time.monotonic_ns() - began)
            if len(answer["results"]) != PAGE:
                raise RuntimeError(f"{path} answered {len(answer['results'])} messages")
        return Latencies.of(times)

    def count_queries(self) -> tuple[int, int]:
        """The number of a page's own queries, and of those that check the token."""
        arguments = (self.path(0.5), self._conversation.tokens[0])
        said = run_in(
            self._server.working_directory, self._server.environment(), "-m", "bench.queries", *arguments
        )
        found: dict[str, int] = json.loads(said)
        return found["page"], found["token"]

    def _get(self, path: str) -> dict[str, Any]:
        self._connection.request("GET", path, headers=self._headers)
        response = self._connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(f"{path} answered {response.status}: {body[:200]!r}")
        answer: dict[str, Any] = json.loads(body)
        return answer
