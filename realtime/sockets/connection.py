"""Connection: one socket below everything it is about, from accept to the end.

It refuses so that browsers can read why (accept, error frame, close code), parses with limits, turns
errors into frames, sends away who does nothing but mistakes, and leaves everything in `finally`. Who is
there and what they hear is the affair of `JsonSocket`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ClassVar, ParamSpec, TypeVar
from urllib.parse import parse_qs

import msgspec
import structlog
from channels.consumer import AsyncConsumer

from realtime import errors, events
from realtime.conf import conf
from realtime.database.threads import run_in_thread
from realtime.events import Event
from realtime.hub.hub import Hub
from realtime.json_input import Ref, parse, ref_of
from realtime.rates import Bucket
from realtime.sockets import metrics
from realtime.sockets.commands import Command, Commands, obey
from realtime.wire.outbox import outbox_for
from realtime.wire.sizes import max_message_bytes
from realtime.wire.wire import Send

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

SUBPROTOCOL = "relais.v1"
#: Frames that were refused by the rate, less those that were granted, before the socket is closed with 4429.
MAX_FLOOD = 400


def _restarting() -> errors.RestartingError:
    # The hub spreads the closes over 4.4 s; this makes it 5.8 until all ask again, and few are away for 2.
    return errors.RestartingError(retry_after_ms=200 + secrets.randbelow(1200))


class Ping(msgspec.Struct):
    """Is anybody there?"""


class Connection(AsyncConsumer):
    """What is the same for every socket of ours, whoever is there."""

    # Ten thousand idle sockets are nothing but what each of them keeps.
    __slots__ = (
        "_course",
        "_end",
        "_flood",
        "_frame_bucket",
        "_max_bytes",
        "_mistakes",
        "_outbox",
        "_tasks",
        "hub",
        "path",
        "query",
        "scope",
        "socket_id",
        "v1",
    )

    #: Whether a client copied from the guide is told its mistakes; its notifications page would show them.
    tells_guide_errors: ClassVar[bool] = True
    #: What it is counted as.
    kind: ClassVar[str] = "other"
    #: What a frame without a `type` asks for.
    default_command: ClassVar[str | None] = None

    hub: Hub
    path: dict[str, Any]
    query: dict[str, str]
    #: The client asked for more than the guide knows.
    v1: bool

    scope: dict[str, Any]  # type: ignore[assignment]  # Channels types what a stock server puts in, and we add to it

    async def __call__(  # type: ignore[override]  # Channels types each message; ours are dictionaries
        self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Send
    ) -> None:
        self.scope = scope
        self.socket_id = secrets.token_hex(6)
        self.hub = Hub.current()
        self.path = scope.get("url_route", {}).get("kwargs", {})
        self.query = {k: v[-1] for k, v in _parameters(scope).items()}
        self.v1 = (
            self.query.get("v") == "1"
            or "since" in self.query
            or SUBPROTOCOL in scope.get("subprotocols", ())
        )
        self._outbox = outbox_for(scope, send, self._too_slow, self._stop)
        #: What runs it; None when that was stopped because its server does not say that the peer is gone.
        self._course = asyncio.current_task()
        #: How it ended: the close code and why, the first that was said.
        self._end: tuple[object, str] | None = None
        #: What runs beside the conversation; most sockets never have any.
        self._tasks: set[asyncio.Task[None]] | None = None
        self._frame_bucket, self._mistakes, self._flood = Bucket(), Bucket(), 0
        self._max_bytes = max_message_bytes(scope["path"].removeprefix(scope.get("root_path", "")))

        if (await receive())["type"] != "websocket.connect":
            return
        structlog.contextvars.bind_contextvars(socket_id=self.socket_id)
        self.hub.sockets.add(self)
        metrics.opened(self.kind)
        try:
            await self._open(send)
            while (message := await receive())["type"] == "websocket.receive":
                if not self._outbox.is_closing:  # what was refused or revoked is obeyed no more
                    await self._receive(message)
            self._end = self._end or (message.get("code"), "peer")
        except asyncio.CancelledError:
            # The server stops without having drained: say at least that it is a restart.
            self.hear_no_more()
            self._close(errors.CloseCode.RESTARTING, "stopped")
            self._outbox.open()  # if it was not accepted yet, it never will be
            await self._outbox.drained()
            if self._course is not None:
                raise
        finally:
            await self._leave_everything()

    # --- for what is built on it --------------------------------------------------------------------

    async def let_in(self) -> None:
        """Find out who is there and what they may; raise a RealtimeError to refuse the socket."""

    def hear_no_more(self) -> None:
        """From now on nothing is told but how it ends."""

    async def gone(self) -> None:
        """Tidy up; runs once, at the end, for every socket."""

    def about(self) -> dict[str, Any]:
        """Which socket a line of the log is about, whoever's turn of the loop it is written in."""
        return {"socket_id": self.socket_id, "socket_path": self.scope["path"]}

    def handle(self, frame: dict[str, Any], ref: Ref) -> Awaitable[None] | None:
        """Obey one frame; a RealtimeError answers it with an error frame."""
        return obey(self, self.commands, frame.get("type", self.default_command), frame, ref)

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Await synchronous code that uses the database: the border between sockets and Django."""
        return await run_in_thread(function, *args, **kwargs)

    def push(self, frame: str | Event | dict[str, Any]) -> None:
        """Send a frame; never blocks."""
        self._outbox.push(frame if isinstance(frame, str) else events.encode(frame))

    async def room_for(self, size: int) -> None:
        """Wait until so many bytes fit: for what is too long to be pushed at once."""
        await self._outbox.room_for(size)

    async def drained(self) -> None:
        """Wait until everything pushed has been handed to the server."""
        await self._outbox.drained()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something beside the conversation; it ends with the socket, and its failure is the socket's."""
        task = asyncio.get_running_loop().create_task(work)
        if self._tasks is None:
            self._tasks = set()
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def tell_error(self, error: errors.RealtimeError, *, ref: Ref = None) -> None:
        """Answer with an error frame, where the client understands them."""
        if self.v1 or self.tells_guide_errors:
            self.push({"type": "error", **error.as_fields(), "ref": ref})

    def refuse(self, error: errors.RealtimeError) -> None:
        """Say why, and close; from now on the socket neither obeys nor hears anything."""
        self.hear_no_more()
        self.tell_error(error)
        self._close(error.close_with, error.code)

    def restart(self) -> None:
        """The server is stopping: tell the client to come back."""
        error = _restarting()
        self.hear_no_more()
        if self.v1:
            self.tell_error(error)
        self._close(error.close_with, error.code)

    def opt_in(self) -> None:
        """The client used what the guide does not know: from now on it is told such things as well."""
        self.v1 = True

    # --- the course of a connection -----------------------------------------------------------------

    async def _open(self, send: Send) -> None:
        # Decide before accepting: a page that is let in hears everything that is said from then on.
        try:
            if self.hub.is_draining:
                metrics.HANDSHAKES_REFUSED.add("draining")
                raise _restarting()
            await self.let_in()
        except errors.RealtimeError as error:
            self.refuse(error)
        except Exception:  # noqa: BLE001 - told by _fail
            self._fail()
        # Accept also who is refused: a handshake that fails shows the browser 1006 and hides our own code.
        subprotocol = SUBPROTOCOL if SUBPROTOCOL in self.scope.get("subprotocols", ()) else None
        await send({"type": "websocket.accept", "subprotocol": subprotocol})
        self._outbox.open()

    async def _receive(self, message: dict[str, Any]) -> None:
        text = message.get("text")
        data = text if text is not None else (message.get("bytes") or b"")
        ref: Ref = None
        metrics.FRAMES_RECEIVED.value += 1
        try:
            self._check_rate()
            if self._is_too_big(data):
                raise errors.TooBigError
            if text is None:
                raise errors.InvalidJsonError("Binary frames are not understood.")
            frame = parse(text)
            if frame.get("ref") is not None:
                self.opt_in()
                ref = ref_of(frame)
            obeyed = self.handle(frame, ref)
            if obeyed is not None:
                await obeyed
        except errors.TooBigError as error:
            self.refuse(error)
        except errors.RealtimeError as error:
            self._mistake(error, ref)
        except Exception:  # noqa: BLE001 - told by _fail
            self._fail()

    def _is_too_big(self, data: str | bytes) -> bool:
        # UTF-8 has at most 4 bytes a character: what is short enough need not be encoded to be measured.
        if isinstance(data, bytes) or len(data) * 4 <= self._max_bytes:
            return len(data) > self._max_bytes
        return len(data.encode(errors="replace")) > self._max_bytes

    def _ping(self, _frame: Ping, ref: Ref) -> None:
        self.opt_in()
        self.push({"type": "pong", "ref": ref, "server_time": events.now()})

    #: What a client may ask; what is built on it adds its own.
    commands: ClassVar[Commands] = {"ping": Command(Ping, _ping)}

    # --- limits and ends ----------------------------------------------------------------------------

    def _check_rate(self) -> None:
        wait = self._frame_bucket.wait(conf.limit_frames, time.monotonic())
        if not wait:
            # Not forgiven at once: in a flood as well, the rate grants a frame every now and then.
            self._flood = max(0, self._flood - 1)
            return
        self._flood += 1
        if self._flood >= MAX_FLOOD:
            self.refuse(errors.RateLimitedError(retry_after_ms=30_000))
        raise errors.RateLimitedError(retry_after_ms=max(1, round(wait * 1000)))

    def _mistake(self, error: errors.RealtimeError, ref: Ref) -> None:
        """Answer a command that failed; a client that does nothing else is sent away."""
        metrics.COMMANDS_REFUSED.add(error.code)
        self.tell_error(error, ref=ref)
        is_theirs = not error.retryable and error.status < 500
        if is_theirs and self._mistakes.wait(conf.limit_mistakes, time.monotonic()):
            self.refuse(errors.TooManyErrorsError())

    def _fail(self, failure: BaseException | None = None) -> None:
        """Our fault: the log says what, the client only that."""
        logger.error("A socket failed", exc_info=failure or True, extra=self.about())
        self.refuse(errors.RealtimeError())

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._tasks is not None:
            self._tasks.discard(task)
            self._tasks = self._tasks or None
        failure = None if task.cancelled() else task.exception()
        if isinstance(failure, errors.RealtimeError):
            self.tell_error(failure)
        elif failure is not None:
            self._fail(failure)

    def _too_slow(self) -> None:
        logger.warning("A socket was closed: its peer does not read", extra=self.about())
        self.hear_no_more()
        self._close(errors.CloseCode.TOO_SLOW, "too_slow")

    def _close(self, code: int, reason: str) -> None:
        self._end = self._end or (code, reason)
        self._outbox.close(code)

    def _stop(self) -> None:
        """End without the server, which would wait for ever for a peer that does not read its close frame."""
        course, self._course = self._course, None
        if course is not None:
            course.cancel()

    async def _leave_everything(self) -> None:
        self.hub.sockets.discard(self)
        metrics.closed(self.kind, *(self._end or (None, "failed")))
        for task in list(self._tasks or ()):
            task.cancel()
        self.hear_no_more()
        self._outbox.abandon()
        try:
            await self.gone()
        except Exception:
            logger.exception("A socket could not tidy up", extra=self.about())


def _parameters(scope: dict[str, Any]) -> dict[str, list[str]]:
    # Blank ones too: `?since=` is a position that nobody can resume from, not the wish to begin anew.
    return parse_qs(scope.get("query_string", b"").decode("latin1"), keep_blank_values=True)
