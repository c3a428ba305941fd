"""The answers of /health/live and /health/ready, given before Django sees the request.

So they work for any Host, and `live` needs no thread. A process is ready when it can serve: while the
database lacks a table that this code expects, every request would be answered with 500. Machines without
credentials ask every few seconds, so the answers are cheap and say little.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypedDict

from django.db import connection
from django.db.migrations.loader import MigrationLoader

from realtime.database import outages
from realtime.metrics.instruments import Gauge

logger = logging.getLogger(__name__)

#: Seconds the database has to answer.
DATABASE_TIMEOUT_SECONDS = 2.0
#: Seconds for which an answer is kept: the database is asked once in that time, however many requests come.
CACHE_SECONDS = 1.0

HEALTH = Gauge(
    "relais_health", "1 for what /health/ready of the answering worker says.", "status", combine="own"
)


class Health(TypedDict):
    """The body of /health/ready."""

    status: str  # ok; degraded: works without Redis; unavailable: a balancer must send nobody here
    database: str  # ok; migrations: some are not applied; or unavailable
    layer: str  # ok; lost; or memory: no Redis is configured


class Serving(Protocol):
    """The process's hub, as far as this module knows it."""

    is_draining: bool

    def layer_status(self) -> str:
        """The status of the channel layer: `ok`, `lost` or `memory`."""
        ...


class HealthChecks:
    """ASGI middleware that answers the two addresses and passes everything else on."""

    def __init__(
        self, app: Any, *, hub: Callable[[], Serving], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.app = app
        self._hub = hub
        self._clock = clock
        self._known: tuple[float, Health] | None = None
        self._asking: asyncio.Task[Health] | None = None
        # A thread of its own, so that busy sockets and requests cannot make the database look absent.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="health")
        self._question: Future[list[str]] | None = None
        #: Asked again after an outage: only a restore takes a migration back while a process serves.
        self._is_migrated = False
        HEALTH.reads(self._as_gauge)

    def _as_gauge(self) -> dict[tuple[str, ...], float]:
        known = self._known[1]["status"] if self._known is not None else None
        return {(status,): status == known for status in ("ok", "degraded", "unavailable")}

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        asked = scope["path"] if scope["method"] in ("GET", "HEAD") else None
        if asked == "/health/live":
            await _answer(scope, send, 200, {"status": "ok"})
        elif asked == "/health/ready":
            health = await self.health()
            await _answer(scope, send, 503 if health["status"] == "unavailable" else 200, health)
        else:
            await self.app(scope, receive, send)

    async def health(self) -> Health:
        """The kept answer while it is fresh, else a new one, shared by everybody who asks meanwhile."""
        if self._known is not None and self._clock() - self._known[0] < CACHE_SECONDS:
            return self._known[1]
        return await asyncio.shield(self.look())

    def look(self) -> asyncio.Task[Health]:
        """Start a check unless one runs; a process that starts does so too, to log what is missing."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._find_out())
        return self._asking

    async def _find_out(self) -> Health:
        hub = self._hub()
        database = await self._ask()
        layer = hub.layer_status()
        status = "degraded" if layer == "lost" else "ok"
        if database != "ok" or hub.is_draining:
            status = "unavailable"
        health = Health(status=status, database=database, layer=layer)
        before = self._known[1] if self._known is not None else None
        if status != (before["status"] if before is not None else "ok"):
            logger.warning("Health is now %s: database %s, layer %s", status, database, layer)
        self._known = (self._clock(), health)
        return health

    async def _ask(self) -> str:
        if self._question is not None and not self._question.done():
            return "unavailable"  # an earlier question still waits: a second one would only queue behind it
        self._question = self._thread.submit(_ask_database, is_migrated=self._is_migrated)
        try:
            async with asyncio.timeout(DATABASE_TIMEOUT_SECONDS):
                missing = await asyncio.wrap_future(self._question)
        except TimeoutError:
            outages.DATABASE.noticed(TimeoutError(f"no answer within {DATABASE_TIMEOUT_SECONDS:g} s"))
            self._is_migrated = False
            return "unavailable"
        except Exception as error:  # noqa: BLE001 - whatever it is, the database cannot be used
            outages.DATABASE.noticed(error)
            self._is_migrated = False
            return "unavailable"
        outages.DATABASE.over()
        self._is_migrated = not missing
        if missing and (self._known is None or self._known[1]["database"] != "migrations"):
            logger.warning(
                "The database lacks %d migrations, %s first: run `python manage.py migrate`",
                len(missing),
                missing[0],
            )
        return "migrations" if missing else "ok"


def _ask_database(*, is_migrated: bool) -> list[str]:
    """The migrations of this code that the database lacks; it may have later ones, during a release."""
    try:
        if is_migrated:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            return []
        loader = MigrationLoader(connection)  # some 4 ms; once, or once a second while nobody is served
        missing = loader.graph.nodes.keys() - (loader.applied_migrations or {}).keys()
        return sorted(".".join(migration) for migration in missing & _migrations_of_this_code())
    finally:
        connection.close()


@functools.cache
def _migrations_of_this_code() -> frozenset[tuple[str, str]]:
    """The migrations on disk at the first look; a release that is laid out later is for the next process."""
    return frozenset(MigrationLoader(None).disk_migrations or ())


async def _answer(scope: dict[str, Any], send: Any, status: int, body: Any) -> None:
    content = json.dumps(body).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else content})
