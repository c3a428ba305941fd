"""The inbox: what all sockets of this process send, committed together.

A batch starts at once when none is in flight; what arrives meanwhile is the next one. So the batch
grows with the load by itself, and an idle server adds no delay.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import ClassVar

from chat.services import Draft, Outcome, send_messages
from realtime.errors import OverloadedError, RealtimeError
from realtime.threads import run_in_thread

logger = logging.getLogger(__name__)

#: Drafts in one transaction: enough to spread a commit's cost, few enough to keep it short.
MAX_BATCH = 64
#: Drafts waiting for their turn; past it senders are told to come back rather than kept waiting.
MAX_WAITING = 1_000
OVERLOADED_RETRY_MS = 1_000


class Inbox:
    """One per event loop; `Inbox.current()` makes it."""

    _inboxes: ClassVar[dict[asyncio.AbstractEventLoop, Inbox]] = {}

    def __init__(self) -> None:
        self._waiting: deque[tuple[Draft, asyncio.Future[Outcome]]] = deque()
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def current(cls) -> Inbox:
        loop = asyncio.get_running_loop()
        inbox = cls._inboxes.get(loop)
        if inbox is None:
            cls._inboxes = {other: inbox for other, inbox in cls._inboxes.items() if not other.is_closed()}
            inbox = cls._inboxes[loop] = cls()
        return inbox

    def submit(self, draft: Draft) -> asyncio.Future[Outcome]:
        """Queue a draft; its outcome comes after the commit, whether or not the socket still lives."""
        if len(self._waiting) >= MAX_WAITING:
            raise OverloadedError(retry_after_ms=OVERLOADED_RETRY_MS)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        self._waiting.append((draft, future))
        if self._task is None:
            self._task = loop.create_task(self._send_all())
        return future

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
                for (_, future), outcome in zip(
                    batch, await self._send([draft for draft, _ in batch]), strict=True
                ):
                    if not future.cancelled():
                        future.set_result(outcome)
        finally:
            self._task = None

    async def _send(self, drafts: list[Draft]) -> list[Outcome]:
        try:
            return await run_in_thread(send_messages, drafts)
        except RealtimeError as error:
            return [error] * len(drafts)
        except Exception:
            logger.exception("A batch of %d messages could not be stored", len(drafts))
            return [RealtimeError() for _ in drafts]
