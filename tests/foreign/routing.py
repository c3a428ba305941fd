"""Tally's socket."""

from django.urls import path

from tests.foreign.clients import PATH
from tests.foreign.tally import Tally

websocket_urlpatterns = [path(PATH.lstrip("/"), Tally.as_asgi())]  # type: ignore[arg-type]  # typed for views only
