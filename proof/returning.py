"""A socket that comes back: opened again whenever it ends, at any worker, after a back-off."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from contract.validation import Conversation
from proof.audit import Audit
from proof.dialects import Frame, decode
from proof.history import FINAL
from proof.websocket import WebSocket

#: Doubled with every failure, with full jitter. Shorter than a browser's: the faults are minutes apart.
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.2, 2.0
#: A server that accepts and then says nothing is left again.
PATIENCE_SECONDS = 10.0
#: The answer to a handshake that was accepted.
SWITCHING_PROTOCOLS = 101


class Returning:
    """Whoever owns such a socket says where it leads, and hears what comes; `port` says where to try next."""

    def __init__(self, *, port: Callable[[], int], rng: random.Random) -> None:
        self.rng = rng
        #: Who looks at what it is told, if anybody does.
        self.audit: Audit | None = None
        self._conversation: Conversation | None = None
        #: Handshakes that were refused without saying when to come back.
        self.refused = 0
        #: When servers that were stopping asked it to come back.
        self.hints: list[float] = []
        self._port = port
        self._loop = asyncio.get_running_loop()
        self._socket: WebSocket | None = None
        self._ended = asyncio.Event()
        self._ready = asyncio.Event()
        self._leaves = False
        self._failures = 0
        self._wait = 0.0
        #: The code that the last socket ended with.
        self._code = 0
        self._task: asyncio.Task[None] | None = None

    def path(self) -> str:
        """Where it leads."""
        raise NotImplementedError

    def opened(self) -> None:
        """The handshake was accepted."""
        raise NotImplementedError

    def heard(self, payload: bytes) -> None:
        """A frame came."""
        raise NotImplementedError

    def read(self, payload: bytes) -> Frame:
        """A frame that came, shown to whoever looks."""
        frame = decode(payload)
        if self.audit is not None and self._conversation is not None:
            self.audit.told(self._conversation, frame.type, payload)
        return frame

    def ended(self, code: int, *, status: int, retry_after: float) -> None:
        """It is over; the next one follows."""
        if not self._ready.is_set():
            self._failures += 1
        if status != SWITCHING_PROTOCOLS:
            self._wait = retry_after
            self.refused += status > SWITCHING_PROTOCOLS and not retry_after
        self._code = code
        self._socket = None
        self._ready.clear()
        self._ended.set()

    # --- what a scenario asks of it ---------------------------------------------------------------------

    def come(self) -> None:
        """Connect, and come back whenever the connection ends."""
        self._task = self._loop.create_task(self._live())

    async def here(self) -> None:
        """Wait until it is told where it stands."""
        await self._ready.wait()

    async def leave(self) -> None:
        """Go for good."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        if self._socket is not None:
            self._leaves = True
            self._socket.close()

    async def vanish(self) -> None:
        """Gone without a farewell, as a phone in a tunnel; `come` brings it back to where it was."""
        socket = self._socket
        if socket is not None:
            socket.reset()
            await self._ended.wait()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    @property
    def is_here(self) -> bool:
        return self._ready.is_set()

    @property
    def is_finished(self) -> bool:
        """Whether it was sent away for good."""
        return self._task is not None and self._task.done()

    @property
    def socket(self) -> WebSocket | None:
        return self._socket

    # --- coming and going -------------------------------------------------------------------------------

    async def _live(self) -> None:
        while True:
            self._ended.clear()
            path = self.path()
            self._conversation = None if self.audit is None else self.audit.conversation(path)
            socket = WebSocket(self, path)
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self._loop.create_connection(lambda: socket, "127.0.0.1", self._port())  # noqa: B023 - called at once
                    self._socket = socket
                    await self._ready_or_ended()
            except OSError:  # TimeoutError is one
                self._failures += 1
                if self._socket is socket:
                    socket.reset()
                    await self._ended.wait()
            else:
                await self._ended.wait()
            if self._code in FINAL:
                return
            await asyncio.sleep(self._back_off())

    async def _ready_or_ended(self) -> None:
        ways = [self._loop.create_task(event.wait()) for event in (self._ready, self._ended)]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()

    def _back_off(self) -> float:
        wait, self._wait = self._wait, 0.0
        if wait:
            return wait
        longest = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** min(self._failures, 10))
        return self.rng.uniform(0, longest)
