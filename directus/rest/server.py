"""`/server`: whether it is there, whether it works, and what a client may want to know of it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import connection
from django.http import HttpResponse, JsonResponse
from rest_framework.request import Request
from rest_framework.response import Response

from directus.defaults import conf as ours
from directus.rest.views import DirectusView, OpenView, shown
from realtime import conf, is_outage, outages

#: The names of languages, as Directus writes them.
LANGUAGES = {"en": "en-US", "fr": "fr-FR"}


class PingView(OpenView):
    """GET /server/ping: the text `pong`."""

    def get(self, request: Request) -> HttpResponse:
        return HttpResponse("pong", content_type="text/plain; charset=utf-8")


class HealthView(OpenView):
    """GET /server/health: whether the database answers."""

    def get(self, request: Request) -> HttpResponse:
        is_well = _database_answers()
        return JsonResponse(
            {"status": "ok" if is_well else "error"},
            status=200 if is_well else 503,
            content_type="application/health+json",
        )


class InfoView(DirectusView):
    """GET /server/info: the project; for users also the limits, and the socket."""

    def get(self, request: Request) -> Response:
        info: dict[str, Any] = {
            "project": {
                "project_name": "Relais",
                "project_descriptor": None,
                "project_logo": None,
                "project_color": None,
                "default_language": LANGUAGES.get(settings.LANGUAGE_CODE, settings.LANGUAGE_CODE),
                "public_registration": False,
            }
        }
        if request.auth is not None:
            info |= {
                "rateLimit": _rate_limit(),
                "rateLimitGlobal": False,
                "queryLimit": {"default": ours.query_limit_default, "max": ours.query_limit_max or -1},
                "websocket": _socket(),
            }
        return shown(info)


def _rate_limit() -> dict[str, int] | bool:
    """The requests that a user may make, and the seconds that this is for."""
    rate = conf.limit_rest
    return {"points": rate.count, "duration": rate.seconds} if rate.count else False


def _socket() -> dict[str, Any] | bool:
    if not ours.websockets_enabled:
        return False
    json_socket = {"authentication": ours.websockets_rest_auth, "path": ours.websockets_rest_path}
    return {
        "rest": json_socket if ours.has_socket else False,
        "graphql": False,
        "heartbeat": ours.websockets_heartbeat_period if ours.websockets_heartbeat_enabled else False,
    }


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Exception as error:
        if not is_outage(error):
            raise
        outages.DATABASE.noticed(error)
        return False
    return True
