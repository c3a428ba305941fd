"""Fixtures for the tests of accounts: clients of REST and of sockets, and tokens made by hand."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from channels.testing import WebsocketCommunicator
from rest_framework.test import APIClient

from accounts import socket_auth, tokens
from accounts.credentials import Credentials
from accounts.models import Session, User
from accounts.socket_auth import SocketAuth
from guide_dialect.consumer import GuideConsumer
from realtime.database import batch_loader
from realtime.http import throttling
from realtime.sockets.handshakes import refuse_handshake
from realtime.testing import ANSWER_SECONDS, TestSocket


@pytest.fixture(autouse=True)
def _full_buckets() -> None:
    """Forget all buckets, so that no test is limited by the one before it."""
    for kind in throttling.Limit.__subclasses__():
        kind.buckets.clear()


@pytest.fixture
def stranger() -> APIClient:
    """A client that is not signed in."""
    return APIClient()


class Device(APIClient):
    """An HTTP client that keeps its tokens."""

    pair: tokens.Pair


@pytest.fixture
def signed_in() -> Callable[..., Device]:
    """`signed_in(ana)`: a client with an access token and a session of its own; the tokens are in
    `client.pair`."""

    def sign_in(user: User) -> Device:
        client = Device()
        client.pair = tokens.issue(user)
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {client.pair['access']}")
        return client

    return sign_in


@pytest.fixture
def session(ana: User) -> Session:
    return Session.objects.create(user=ana)


@pytest.fixture
def shake_hands(db: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Send a handshake through SocketAuth; returns the scope that the consumer would see.

    It runs in the thread of the test, and sees the test's uncommitted rows: a thousand handshakes then need
    no thousand clean databases. The real threads are used by `open_with`.
    """
    monkeypatch.setattr(socket_auth, "run_in_thread", _run_here)
    monkeypatch.setattr(batch_loader, "run_in_thread", _run_here)

    def shake(
        query: bytes = b"",
        *,
        headers: list[tuple[bytes, bytes]] | None = None,
        subprotocols: list[str] | None = None,
        kind: str = "websocket",
        refused: bool = False,
    ) -> dict[str, Any]:
        seen: list[dict[str, Any]] = []

        async def consumer(scope: Any, receive: Any, send: Any) -> None:
            seen.append(scope)

        scope = {"type": kind, "path": "/ws/chat/1/", "query_string": query, "headers": headers or []}
        if kind == "websocket":
            scope["subprotocols"] = subprotocols or []
        if refused:
            async_to_sync(Credentials(refuse))(scope, _nothing, _nothing)
            return scope
        app = Credentials(SocketAuth(consumer)) if kind == "websocket" else consumer
        async_to_sync(app)(scope, None, None)
        assert seen == [scope]
        return seen[0]

    return shake


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    """Refuse the socket before authentication, as a limit does."""
    await refuse_handshake(scope, receive, send, status=429)


async def _nothing(*_message: object) -> None:
    pass


async def _run_here(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return await sync_to_async(function, thread_sensitive=True)(*args, **kwargs)


class BareSocket(GuideConsumer):
    """A consumer that only says that it is open."""

    async def authorize(self) -> None:
        self.push({"type": "open"})


@pytest.fixture
def open_with(transactional_db: None, hub: Any) -> Callable[..., Any]:
    """`async with open_with("?token=…") as socket`: a bare socket behind SocketAuth, which says "open"."""

    @asynccontextmanager
    async def opened(query: str) -> AsyncIterator[TestSocket]:
        communicator = WebsocketCommunicator(
            Credentials(SocketAuth(BareSocket.as_asgi())), f"/ws/bare/{query}"
        )
        await communicator.connect(timeout=ANSWER_SECONDS)
        try:
            yield TestSocket(communicator, None)
        finally:
            await communicator.disconnect(timeout=ANSWER_SECONDS)

    return opened
