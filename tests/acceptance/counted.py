"""Relais without any garbage collection, and with a page that counts what is left of its connections."""

import gc
import json
from collections import Counter
from typing import Any

from daphne.http_protocol import WebRequest

from config.asgi import application as ours
from realtime.hub.catch_up import CatchUp
from realtime.hub.subscription import Subscription
from realtime.process import garbage
from realtime.servers.daphne.protocol import PreparedWebSocketProtocol
from realtime.servers.uvicorn.parser import Parser
from realtime.servers.uvicorn.protocol import PreparedProtocol
from realtime.sockets.access import Access
from realtime.sockets.connection import Connection
from realtime.sockets.lanes import Lanes
from realtime.wire.outbox import Outbox

OF_A_CONNECTION = (
    Connection,
    Access,
    Subscription,
    CatchUp,
    Lanes,
    Outbox,
    PreparedProtocol,
    Parser,
    PreparedWebSocketProtocol,
)


def is_of_a_socket(thing: object) -> bool:
    # Daphne's: a request that became a socket counts, one for this page does not.
    if isinstance(thing, WebRequest):
        return thing.requestHeaders.hasHeader("Upgrade")
    return isinstance(thing, OF_A_CONNECTION)


gc.disable()
garbage.Keeper.tend = lambda self: None  # type: ignore[method-assign]  # what is left out is not seen by gc


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "http" and scope["path"] == "/left":
        everything = gc.get_objects()
        left = Counter(type(thing).__name__ for thing in everything if is_of_a_socket(thing))
        everything.clear()  # the list keeps every live object alive, and one of them refers to the list
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(left).encode()})
    else:
        await ours(scope, receive, send)
