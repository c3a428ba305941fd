"""Workers, processes that serve as one server, and the supervisor that starts, replaces and stops them.

The supervisor serves nothing itself, but it holds the listening socket of every worker: a client
that connects while one is being replaced waits for the next instead of being refused.

A *line* (a pair of connected sockets) joins it to each worker. Over it the worker says that it
accepts connections; when it breaks, because the supervisor is gone, the worker ends as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence

from realtime.servers.port import BACKLOG, Port

logger = logging.getLogger(__name__)

#: Seconds a worker has, from its start, until it accepts connections.
START_SECONDS = 60.0
#: Seconds from SIGTERM to SIGKILL: the servers end within 13, and a whole stop takes 15 at most.
STOP_SECONDS = 14.0
#: Seconds before a worker that died is replaced: none the first time, then these, doubled each time.
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
#: Seconds of life after which a death has nothing to do with the one before it.
HEALTHY_SECONDS = 60.0

_READY = b"\n"

#: The command line of a worker that inherits two descriptors: a listening socket, and its end of the line.
Command = Callable[[int, int], Sequence[str]]


def hold_line(descriptor: int) -> Callable[[], None]:
    """End this worker when the supervisor ends; returns a function that tells it that we accept."""
    line = socket.socket(fileno=descriptor)
    line.set_inheritable(False)

    def watch() -> None:
        with contextlib.suppress(OSError):
            line.recv(1)  # nothing is ever said in this direction: it returns when there is nobody to say it
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="line", daemon=True).start()
    return lambda: line.sendall(_READY)


class Worker:
    """One process that serves, from its start to its end."""

    def __init__(self, command: Command, listener: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._line, theirs = socket.socketpair()
        self._line.settimeout(0)
        inherited = (listener.fileno(), theirs.fileno())
        try:
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 - our own program
                    command(*inherited),
                    pass_fds=inherited,
                    stdin=subprocess.DEVNULL,
                    # Ctrl-C is for the supervisor, which then stops its workers in order.
                    start_new_session=True,
                )
        except OSError:
            self._line.close()
            raise
        self.pid = self._process.pid
        self._born = self._loop.time()
        #: Its exit status; below 0 the signal that ended it.
        self.ended: asyncio.Future[int] = self._loop.create_future()
        self._accepting = self._loop.create_task(self._accepts())
        self._stopping: asyncio.Task[bool] | None = None

    def age_seconds(self) -> float:
        """Seconds since the worker was started."""
        return self._loop.time() - self._born

    def look(self) -> None:
        """Look whether this worker has ended, after a SIGCHLD."""
        status = self._process.poll()
        if status is not None and not self.ended.done():
            self.ended.set_result(status)

    async def accepts(self) -> bool:
        """Wait until the worker accepts connections; false when it ends before that, or takes too long."""
        return await asyncio.shield(self._accepting)

    async def _accepts(self) -> bool:
        heard = b""
        with contextlib.suppress(OSError):  # TimeoutError is one
            async with asyncio.timeout(START_SECONDS):
                heard = await self._loop.sock_recv(self._line, len(_READY))
        if heard:
            logger.info("Worker %d accepts connections", self.pid)
        self.ended.add_done_callback(lambda _: self._line.close())
        return bool(heard)

    async def stop(self) -> bool:
        """End the worker: SIGTERM, then SIGKILL if it takes too long; returns whether it ended by itself."""
        if self._stopping is None:
            self._stopping = self._loop.create_task(self._stop())
        return await asyncio.shield(self._stopping)

    async def _stop(self) -> bool:
        self._process.send_signal(signal.SIGTERM)
        await asyncio.wait({self.ended}, timeout=STOP_SECONDS)
        if self.ended.done():
            return True
        logger.warning("Worker %d did not end within %g s and is killed", self.pid, STOP_SECONDS)
        self._process.kill()
        await self.ended
        return False


class WorkerSlot:
    """A listening socket, and the workers that serve on it one after the other."""

    def __init__(self, listener: socket.socket, start: Callable[[socket.socket], Worker]) -> None:
        self._listener = listener
        self._start = start
        self._worker: Worker | None = None

    def start(self) -> Worker:
        """Start a new worker in this slot."""
        self._worker = self._new_worker()
        return self._worker

    async def keep(self) -> None:
        """Start another worker whenever one dies, for ever, with growing pauses."""
        deaths = 0
        while True:
            worker = self._worker or self.start()
            if not await worker.accepts():
                await worker.stop()
            status = await asyncio.shield(worker.ended)
            if worker is not self._worker:
                continue  # it was replaced and stopped
            deaths = 1 if worker.age_seconds() > HEALTHY_SECONDS else deaths + 1
            pause = min(FIRST_PAUSE_SECONDS * 2 ** (deaths - 2), LONGEST_PAUSE_SECONDS) if deaths > 1 else 0
            logger.error("Worker %d ended with %d; a new one starts in %g s", worker.pid, status, pause)
            if pause:
                self._listen_no_more()
                await asyncio.sleep(pause)
            if worker is self._worker:
                try:
                    self.start()
                except OSError:  # too many processes, no memory, no program for a moment
                    logger.exception("No worker could be started; the others go on")
                    self._listen_no_more()
                    await asyncio.sleep(FIRST_PAUSE_SECONDS)

    async def replace(self) -> bool:
        """Start a new worker, then stop the old one; false if the new one fails, and the old one stays."""
        try:
            new = self._new_worker()
        except OSError:
            logger.exception("No worker could be started")
            return False
        if not await new.accepts():
            logger.error("Worker %d did not come up", new.pid)
            await new.stop()
            return False
        old, self._worker = self._worker, new
        if old is not None:
            await old.stop()
            logger.info("Worker %d has taken the place of worker %d", new.pid, old.pid)
        return True

    def close(self) -> None:
        """Close the listening socket: no worker follows."""
        self._listener.close()

    def _listen_no_more(self) -> None:
        """Stop listening: new connections go to other workers. On Linux the socket can listen again later."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)

    def _new_worker(self) -> Worker:
        self._listener.listen(BACKLOG)
        return self._start(self._listener)


class Supervisor:
    """Keeps a number of workers running until SIGTERM or SIGINT; on SIGHUP it replaces them, one by one."""

    def __init__(self, command: Command, port: Port, *, workers: int) -> None:
        self._command = command
        self._port = port
        self._slots = [WorkerSlot(port.new_socket(), self._start) for _ in range(workers)]
        #: Every worker that has not ended, also those which make room for another.
        self._workers: set[Worker] = set()
        self._stop_asked = asyncio.Event()
        self._replace_asked = asyncio.Event()

    async def run(self) -> int:
        """Serve until told to stop; returns the exit status."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop)
        loop.add_signal_handler(signal.SIGINT, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self.replace)
        loop.add_signal_handler(signal.SIGCHLD, self._look)

        serving = loop.create_task(self._serve())
        stop_asked = loop.create_task(self._stop_asked.wait())
        await asyncio.wait({serving, stop_asked}, return_when=asyncio.FIRST_COMPLETED)
        serving.cancel()
        stopped = await asyncio.gather(*(worker.stop() for worker in self._workers))
        for slot in self._slots:
            slot.close()
        if stop_asked.done():
            return 0 if all(stopped) else 1
        stop_asked.cancel()
        await serving  # raises the error that ended it; a worker that could not start is no error here
        return 1

    def stop(self) -> None:
        """Let `run` end the workers, and return."""
        self._stop_asked.set()

    def replace(self) -> None:
        """Replace all workers, one after the other."""
        self._replace_asked.set()

    async def _serve(self) -> None:
        """Keep the slots filled; returns when the first worker cannot start, which has logged why."""
        first, *others = self._slots
        if not await first.start().accepts():
            return
        for slot in others:
            slot.start()
        logger.info("Serving on %s:%d, with %d workers", *self._port.address[:2], len(self._slots))
        await asyncio.gather(self._replace_when_asked(), *(slot.keep() for slot in self._slots))

    async def _replace_when_asked(self) -> None:
        while True:
            await self._replace_asked.wait()
            self._replace_asked.clear()
            logger.info("Replacing the workers, one after the other")
            for slot in self._slots:
                if not await slot.replace():
                    logger.error("The workers that were not replaced yet go on")
                    break

    def _start(self, listener: socket.socket) -> Worker:
        worker = Worker(self._command, listener)
        self._workers.add(worker)
        worker.ended.add_done_callback(lambda _: self._workers.discard(worker))
        logger.info("Worker %d starts", worker.pid)
        return worker

    def _look(self) -> None:
        for worker in list(self._workers):
            worker.look()
