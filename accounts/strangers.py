"""Turns of strangers: requests without a credential run one at a time in a process, address by address.

Django answers each request in a thread of its own, and all threads share one core with the loop that serves
the sockets: fifty strangers who ask for pages at once would make every message wait for them. A request that
brings a token or a key takes no turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
from asgiref.sync import markcoroutinefunction

from accounts import metrics
from accounts.authentication import bearer_token
from accounts.tokens import claims_of
from accounts.turns import Caller, NoTurnError, Turns
from realtime import (
    REQUESTS_REFUSED,
    OverloadedError,
    RealtimeError,
    conf,
    counted_address,
    retry_after,
    shape_of,
)

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

#: While others wait, the process rests after a turn for so many times the CPU it took, and at most so many
#: seconds: strangers who come in crowds have a third of a core together.
RESTS, LONGEST_REST_SECONDS = 2.0, 1.0
#: The key in a request's scope for the seconds of CPU that its answer took.
CPU_SECONDS = "relais.cpu_seconds"
#: Seconds after which a turn ends whose answer has not begun: who administers deletes thousands, the database
#: is slow. The request goes on beside the next one.
LONGEST_TURN_SECONDS = 1.0
#: The Retry-After of a refused request.
RETRY_AFTER_MS = 2_000


def has_token(headers: Headers) -> bool:
    """Whether the headers hold an access token of ours that has not expired; Django checks revocation."""
    for name, value in headers:
        if name == b"authorization" and (token := bearer_token(value.decode("latin1"))) is not None:
            try:
                claims_of(token)
            except RealtimeError:
                return False
            return True
    return False


class StrangersTakeTurns:
    """ASGI middleware around Django; `are_known` say by its headers that a request is no stranger's."""

    def __init__(self, app: Any, *are_known: Callable[[Headers], bool]) -> None:
        self.app = app
        markcoroutinefunction(self)
        self._are_known = are_known
        self._turns = Turns(
            places=lambda: conf.limit_strangers_waiting,
            places_per_address=lambda: conf.limit_strangers_waiting_per_address,
        )
        metrics.STRANGERS_WAITING.reads(lambda: len(self._turns))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if any(is_known(scope["headers"]) for is_known in self._are_known):
            await self.app(scope, receive, send)
            return
        request = _Request(receive)
        await request.read_body()  # before the turn: a slowly sent body keeps nobody waiting
        try:
            has_turn = await self._take_turn(counted_address(scope), request)
        except NoTurnError:
            REQUESTS_REFUSED.add("strangers")
            await _refuse(scope, send)
            return
        if has_turn:
            await self._answer(scope, request, send)

    async def _take_turn(self, address: str, request: _Request) -> bool:
        """Wait for a turn; False when the peer leaves meanwhile."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[bool] = loop.create_future()
        caller = self._turns.ask(address, answered.set_result)
        if caller is None:
            return True
        gone = loop.create_task(request.gone())
        ways: list[asyncio.Future[Any]] = [answered, gone]
        try:
            await asyncio.wait(ways, timeout=conf.limit_stranger_seconds, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._leave(caller, answered)
            raise
        finally:
            gone.cancel()
        if not answered.done():
            self._turns.withdraw(caller)
            if not request.is_gone:
                raise NoTurnError
        elif not answered.result():
            raise NoTurnError
        elif request.is_gone:
            self._turns.give_back()
        return not request.is_gone

    def _leave(self, caller: Caller, answered: asyncio.Future[bool]) -> None:
        """Stop waiting; a turn that was given meanwhile is passed on."""
        if not self._turns.withdraw(caller) and answered.result():
            self._turns.give_back()

    async def _answer(self, scope: Scope, request: _Request, send: Send) -> None:
        """Run Django; the turn ends when the answer begins: a slow reader keeps nobody waiting."""
        loop = asyncio.get_running_loop()
        began = loop.time()

        def end_turn() -> None:
            # By the clock a turn is long for other reasons too: the sockets, the machine, the database.
            took = scope.get(CPU_SECONDS, loop.time() - began)
            rest = min(RESTS * took, LONGEST_REST_SECONDS) if len(self._turns) else 0.0
            loop.call_later(rest, self._turns.give_back)

        turn = _Once(end_turn)
        longest = loop.call_later(LONGEST_TURN_SECONDS, turn)

        async def begin(message: Message) -> None:
            turn()
            await send(message)

        try:
            await self.app(scope, request.receive, begin)
        finally:
            turn()
            longest.cancel()


class _Once:
    """A function that is called at most once."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self._call: Callable[[], None] | None = call

    def __call__(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call()


class _Request:
    """A request whose body is read ahead of the application."""

    __slots__ = ("_messages", "_receive", "is_gone")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._messages: list[Message] = []
        self.is_gone = False

    async def read_body(self) -> None:
        """Read the whole body; the servers limit its size and time."""
        while True:
            message = await self._next()
            if self.is_gone or not message.get("more_body", False):
                return

    async def gone(self) -> None:
        """Wait until the peer leaves."""
        while not self.is_gone:
            await self._next()

    async def receive(self) -> Message:
        """The next message for the application."""
        return self._messages.pop(0) if self._messages else await self._receive()

    async def _next(self) -> Message:
        message = await self._receive()
        self._messages.append(message)
        self.is_gone = message["type"] == "http.disconnect"
        return message


async def _refuse(scope: Scope, send: Send) -> None:
    error = OverloadedError(retry_after_ms=RETRY_AFTER_MS)
    shape, status = shape_of(scope["path"]), error.status
    if shape is None:
        body, kind = error.message.encode(), "text/plain; charset=utf-8"
    else:
        status, told = shape.told(error)
        body, kind = msgspec.json.encode(told), shape.media_type
    headers = [
        (b"content-type", kind.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", retry_after(RETRY_AFTER_MS).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
