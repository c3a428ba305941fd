"""The ASGI application `config.asgi:application`, put together from its layers."""

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
from django.conf import settings
from django.core.checks import run_checks

from accounts.credentials import Credentials
from accounts.socket_auth import SocketAuth
from accounts.strangers import StrangersTakeTurns, has_token
from config.ws_routing import websocket_urlpatterns
from notifications.service_keys import has_service_key
from realtime.http.forwarded_headers import ForwardedHeaders
from realtime.http.health import HealthChecks
from realtime.http.metrics_page import MetricsPage
from realtime.hub.hub import Hub
from realtime.process import garbage, heap
from realtime.servers import daphne
from realtime.servers.lifespan import Lifespan
from realtime.sockets.handshakes import HandshakeLimit, OriginCheck, SocketLimits, WithHub

logger = logging.getLogger(__name__)


def refuse_unsafe_settings() -> None:
    """Run the system checks, as `manage.py` does: an ASGI server imports this module without running any."""
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


refuse_unsafe_settings()
if (
    "uvicorn" in sys.modules
):  # uvicorn loads this module, or our own worker may run it; Daphne needs none of it
    from realtime.servers import uvicorn

    uvicorn.install()

sockets = URLRouter(websocket_urlpatterns)

are_known = [has_token, has_service_key]
http: Any
if settings.DIRECTUS_ENABLED:
    from directus.cors import CrossOrigin
    from directus.strangers import has_credential

    are_known.append(has_credential)
health = HealthChecks(StrangersTakeTurns(django_application, *are_known), hub=Hub.current)
http = CrossOrigin(health) if settings.DIRECTUS_ENABLED else health
daphne.install(on_listening=health.look)
router = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": Credentials(OriginCheck(HandshakeLimit(SocketLimits(SocketAuth(sockets))))),
        "lifespan": Lifespan(on_startup=health.look),
    }
)
# The metrics page stands first: it judges a client by headers that `ForwardedHeaders` drops.
application = WithHub(MetricsPage(ForwardedHeaders(router), refresh=health.health))

heap.share_among_threads()
garbage.leave_out_program()
