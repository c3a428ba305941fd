"""The guide's `config/asgi.py`."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bench.peers.guide.settings")
django_application = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402 - after Django
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402 - the same
from django.urls import path  # noqa: E402 - the same

from bench.peers.guide.consumers import ChatConsumer  # noqa: E402 - the same

application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": AuthMiddlewareStack(
            URLRouter([path("ws/chat/<int:conversation_id>/", ChatConsumer.as_asgi())])
        ),
    }
)
