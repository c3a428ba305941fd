"""Checks frames of programs against the contract, as `contract.testing` does for the kit's sockets.

A program that uses the library `websockets` is seen in the library's `recv` and `send`. Tests with a browser,
wscat or a peer below every library show their frames to a `Witness` themselves.
"""

from __future__ import annotations

import weakref
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.sync.client import ClientConnection as SyncClientConnection

from contract.testing import Witness

_witnesses: weakref.WeakKeyDictionary[Any, Witness] = weakref.WeakKeyDictionary()


def witness_of(connection: ClientConnection | SyncClientConnection) -> Witness:
    """The witness of a connection, which sees everything on it from the handshake on."""
    witness = _witnesses.get(connection)
    if witness is None:
        assert connection.request is not None
        subprotocols = [connection.subprotocol] if connection.subprotocol else []
        witness = _witnesses[connection] = Witness(connection.request.path, subprotocols)
    return witness


def watch_programs(patch: pytest.MonkeyPatch) -> None:
    """From now on check every frame that a client of this process reads."""
    receive, send = ClientConnection.recv, ClientConnection.send
    receive_sync, send_sync = SyncClientConnection.recv, SyncClientConnection.send

    async def told(self: Any, *args: Any, **options: Any) -> Any:
        payload = await receive(self, *args, **options)
        witness_of(self).told(payload)
        return payload

    async def said(self: Any, message: Any, *args: Any, **options: Any) -> None:
        if isinstance(message, (str, bytes)):
            witness_of(self).said(message, "any")
        await send(self, message, *args, **options)

    def told_sync(self: Any, *args: Any, **options: Any) -> Any:
        payload = receive_sync(self, *args, **options)
        witness_of(self).told(payload)
        return payload

    def said_sync(self: Any, message: Any, *args: Any, **options: Any) -> None:
        if isinstance(message, (str, bytes)):
            witness_of(self).said(message, "any")
        send_sync(self, message, *args, **options)

    patch.setattr(ClientConnection, "recv", told)
    patch.setattr(ClientConnection, "send", said)
    patch.setattr(SyncClientConnection, "recv", told_sync)
    patch.setattr(SyncClientConnection, "send", said_sync)
