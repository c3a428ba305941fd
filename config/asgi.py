"""What an ASGI server runs: `config.asgi:application`."""

import asyncio
import contextlib
import logging
import os
import sys
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.core.asgi import get_asgi_application

from config.env import SettingError

try:
    django_application = get_asgi_application()  # sets Django up: models can be imported from here on
except SettingError as problem:
    sys.exit(f"Relais cannot start. {problem}")

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.checks import run_checks

from accounts.credentials import Credentials
from accounts.socket_auth import SocketAuth
from accounts.strangers import StrangersTakeTurns, has_token
from config.health import HealthChecks
from config.logs import redact
from config.metrics import MetricsPage
from config.proxies import ForwardedHeaders
from config.ws_routing import websocket_urlpatterns
from notifications.service_keys import has_service_key
from realtime.hub.hub import Hub
from realtime.process import garbage, heap
from realtime.servers import daphne
from realtime.sockets.handshakes import HandshakeLimit, OriginCheck, SocketLimits, WithHub

logger = logging.getLogger(__name__)

#: Seconds the hub has at the end to tell others what it still holds; what it cannot, they find in the log.
STOP_SECONDS = 2.0


def refuse_unsafe_settings() -> None:
    """Run our system checks: `manage.py` would, but servers import this module and nothing else does."""
    problems = [
        message
        for message in run_checks(tags=["relais"], include_deployment_checks=True)
        if not message.is_silenced()
    ]
    for message in problems:
        if not message.is_serious():
            logger.warning("%s", message)
    serious = [str(message) for message in problems if message.is_serious()]
    if serious:
        sys.exit("\n".join(["Relais cannot start.", *serious]))


async def lifespan(_scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The beginning and the end of the process, on servers that tell it: uvicorn, and not Daphne."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            health.look()
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            # The sockets are closed by now (1012), and uvicorn has waited for their applications.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(Hub.current().stop(), STOP_SECONDS)
            await send({"type": "lifespan.shutdown.complete"})
            return


refuse_unsafe_settings()
if "uvicorn" in sys.modules:  # it is loading this, or our own worker may run it: Daphne needs none of it
    from realtime.servers import uvicorn

    uvicorn.install()

sockets = URLRouter(websocket_urlpatterns)  # type: ignore[arg-type]  # as `path()` makes them, whatever it says

health = HealthChecks(StrangersTakeTurns(django_application, has_token, has_service_key))
daphne.install(redact=redact, on_listening=health.look)
router = ProtocolTypeRouter(
    {
        "http": health,
        "websocket": Credentials(OriginCheck(HandshakeLimit(SocketLimits(SocketAuth(sockets))))),
        "lifespan": lifespan,
    }
)
# The page of the metrics first: it judges who asks by the headers that are dropped behind it.
application = WithHub(MetricsPage(ForwardedHeaders(router), health=health.health))

heap.share_among_threads()
garbage.leave_out_program()
