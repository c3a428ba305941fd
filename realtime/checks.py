"""System checks that refuse an unsafe or impossible deployment.

Django runs them in `manage.py` commands; stock Daphne and uvicorn do not, so `config/asgi.py` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as Caution

from realtime.defaults import conf

TAG = "relais"
#: HS256 signs with this key; RFC 7518 §3.2 asks for as many bytes as the hash has.
MIN_SECRET_BYTES = 32


@register(TAG)
def check_secrets(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """The keys that sign tokens must not be guessable."""
    return [
        Error(f"{name} must have at least {MIN_SECRET_BYTES} bytes.", id="relais.E001")
        for name, key in [
            ("SECRET_KEY", settings.SECRET_KEY),
            *[("SECRET_KEY_FALLBACKS", key) for key in settings.SECRET_KEY_FALLBACKS],
        ]
        if len(key.encode()) < MIN_SECRET_BYTES
    ]


@register(TAG)
def check_hosts(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """A wildcard lets every page of the world in; only a developer's machine may have one."""
    if settings.DEBUG:
        return []
    found: list[CheckMessage] = []
    if "*" in settings.ALLOWED_HOSTS:
        found.append(Error("ALLOWED_HOSTS may hold '*' only with DEBUG.", id="relais.E002"))
    if "*" in conf.allowed_origins:
        found.append(Error("ALLOWED_ORIGINS may hold '*' only with DEBUG.", id="relais.E003"))
    if conf.allowed_origin_patterns:
        found.append(Error("Origins may be allowed by a pattern only with DEBUG.", id="relais.E003"))
    return found


@register(TAG)
def check_service_keys(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """A service key is a password for everybody's notifications."""
    if any(len(key) < MIN_SECRET_BYTES for key in conf.service_api_keys):
        return [Error(f"Each of SERVICE_API_KEYS needs {MIN_SECRET_BYTES} characters.", id="relais.E004")]
    return []


@register(TAG)
def check_layer(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """The core Redis layer loses messages silently and takes its consumers along when Redis restarts."""
    backend = settings.CHANNEL_LAYERS.get("default", {}).get("BACKEND", "")
    if backend == "channels_redis.core.RedisChannelLayer":
        return [
            Error(
                "The core Redis layer drops messages when it is full.",
                hint="Use channels_redis.pubsub.RedisPubSubChannelLayer.",
                id="relais.E005",
            )
        ]
    if not backend:
        return [Error("CHANNEL_LAYERS needs a default layer.", id="relais.E006")]
    return []


@register(TAG)
def check_sqlite(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """A deferred SQLite transaction that reads before it writes fails at once under load."""
    database = settings.DATABASES["default"]
    if "sqlite" not in database["ENGINE"]:
        return []
    if database.get("OPTIONS", {}).get("transaction_mode") != "IMMEDIATE":
        return [Error("SQLite needs OPTIONS transaction_mode IMMEDIATE.", id="relais.E007")]
    return []


@register(TAG)
def check_demo(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """The demo has users whose passwords everybody knows."""
    if getattr(settings, "DEMO_ENABLED", False) and not settings.DEBUG:
        return [Caution("DEMO_ENABLED: anybody can sign in as a demo user.", id="relais.W001")]
    return []
