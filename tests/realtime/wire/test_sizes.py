"""The size of a message is that of the route that its path leads to, however the path is written."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from django.urls import path, re_path

import config.ws_routing
from realtime.wire import sizes
from realtime.wire.sizes import max_message_bytes


@pytest.fixture(autouse=True)
def table(settings, monkeypatch):
    settings.RELAIS = {"limit_message_bytes": 10, "limit_foreign_message_bytes": 20}
    monkeypatch.setattr(sizes, "_table", list(sizes._table))
    sizes.declare([path("websocket", lambda: None), re_path(r"^realtime/v\d/", lambda: None)], sizes.foreign)


@pytest.mark.parametrize("written", ["/ws/chat/1/", "//ws/chat/1/", "/%2Fws/chat/1/", "///ws/chat/1/"])
def test_chat_has_its_own_in_every_spelling(written):
    assert max_message_bytes(unquote(written)) == 10


@pytest.mark.parametrize("written", ["/websocket", "/realtime/v1/websocket"])
def test_foreign_dialects_may_send_more(written):
    assert max_message_bytes(written) == 20


@pytest.mark.parametrize("written", ["/ws/", "/nowhere", "/", ""])
def test_path_that_nobody_declared_may_send_the_least(written):
    assert max_message_bytes(written) == 10


def test_every_route_is_declared():
    *ours, _unknown = config.ws_routing.websocket_urlpatterns

    assert {route for route, _ in sizes._table} >= set(ours)
