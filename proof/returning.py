"""A socket that reconnects whenever it ends, to any worker, after a back-off."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from contract.validation import Conversation
from proof.audit import Audit
from proof.dialects import Frame, decode
from proof.history import FINAL
from proof.websocket import WebSocket

#: Seconds of the first back-off; doubled with every failure, with full jitter. Shorter than a browser's,
#: since faults are minutes apart here.
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.2, 2.0
#: A socket that is accepted and then hears nothing for so long is closed.
PATIENCE_SECONDS = 10.0
#: The status of an accepted handshake.
SWITCHING_PROTOCOLS = 101


class Returning:
    """A reconnecting socket. A subclass says the path and takes frames; `port` chooses the next worker."""

    def __init__(self, *, port: Callable[[], int], rng: random.Random) -> None:
        self.rng = rng
        #: Compares frames with the contract, if there is an audit.
        self.audit: Audit | None = None
        self._conversation: Conversation | None = None
        #: The number of refused handshakes without `Retry-After`.
        self.refused = 0
        #: The times at which stopping servers asked it to reconnect.
        self.hints: list[float] = []
        self._port = port
        self._loop = asyncio.get_running_loop()
        self._socket: WebSocket | None = None
        self._ended = asyncio.Event()
        self._ready = asyncio.Event()
        self._leaves = False
        self._failures = 0
        self._wait = 0.0
        #: The close code of the last socket.
        self._code = 0
        self._task: asyncio.Task[None] | None = None

    def path(self) -> str:
        """The path to connect to."""
        raise NotImplementedError

    def opened(self) -> None:
        """Called when the handshake is accepted."""
        raise NotImplementedError

    def heard(self, payload: bytes) -> None:
        """Called for each frame."""
        raise NotImplementedError

    def read(self, payload: bytes) -> Frame:
        """Decode a frame, and show it to the audit."""
        frame = decode(payload)
        if self.audit is not None and self._conversation is not None:
            self.audit.told(self._conversation, frame.type, payload)
        return frame

    def ended(self, code: int, *, status: int, retry_after: float) -> None:
        """Called when a socket has ended; the next one follows."""
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
        """Connect, and reconnect whenever the connection ends."""
        self._task = self._loop.create_task(self._live())

    async def here(self) -> None:
        """Wait until it is live."""
        await self._ready.wait()

    async def leave(self) -> None:
        """Close the socket for good."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        if self._socket is not None:
            self._leaves = True
            self._socket.close()

    async def vanish(self) -> None:
        """Drop the connection without a close, as a phone in a tunnel; `come` resumes."""
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
        """Whether the server closed it for good."""
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
            except OSError:  # TimeoutError is one too
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
