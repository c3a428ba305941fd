"""Forwarded headers are believed from our proxies, and dropped from everybody else."""

from typing import Any

import pytest

from realtime.http.forwarded_headers import as_seen_by_proxy

FORWARDED = {"x-forwarded-for": "203.0.113.7", "x-forwarded-proto": "https"}


@pytest.fixture
def proxies(settings: Any) -> None:
    settings.RELAIS = {**settings.RELAIS, "trusted_proxies": ("10.0.0.0/8",)}


def scope(kind: str, peer: str | None, **headers: str) -> dict[str, Any]:
    raw = [
        (name.replace("_", "-").encode(), value.encode())
        for name, value in {"host": "a.example", **headers}.items()
    ]
    return {"type": kind, "client": peer and [peer, 4711], "headers": raw, "path": "/"}


@pytest.mark.parametrize(("kind", "scheme"), [("http", "https"), ("websocket", "wss")])
def test_proxy_tells_address_and_scheme(proxies: None, kind: str, scheme: str) -> None:
    seen = as_seen_by_proxy(scope(kind, "10.0.0.1", **FORWARDED))

    assert (seen["client"], seen["scheme"]) == (["203.0.113.7", 0], scheme)
    assert seen["headers"] == [(b"host", b"a.example")]


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_proxy_may_name_the_scheme_of_the_socket_itself(proxies: None, scheme: str) -> None:
    seen = as_seen_by_proxy(scope("websocket", "10.0.0.1", **{"x-forwarded-proto": scheme}))

    assert seen["scheme"] == scheme


def test_stranger_is_not_believed(proxies: None) -> None:
    seen = as_seen_by_proxy(scope("http", "198.51.100.1", **FORWARDED, forwarded="for=203.0.113.7"))

    assert seen["client"] == ["198.51.100.1", 4711]
    assert "scheme" not in seen
    assert seen["headers"] == [(b"host", b"a.example")]


def test_nobody_is_believed_by_default() -> None:
    assert as_seen_by_proxy(scope("http", "127.0.0.1", **FORWARDED))["client"] == ["127.0.0.1", 4711]


def test_headers_that_the_client_sent_to_the_proxy_are_not_believed(proxies: None) -> None:
    forged = {"x-forwarded-for": "1.1.1.1, 203.0.113.7, 10.0.0.2", "x-forwarded-proto": "https, http"}

    seen = as_seen_by_proxy(scope("http", "10.0.0.1", **forged))

    assert (seen["client"], seen["scheme"]) == (["203.0.113.7", 0], "http")


def test_odd_scheme_is_ignored(proxies: None) -> None:
    seen = as_seen_by_proxy(scope("http", "10.0.0.1", **{"x-forwarded-proto": "gopher"}))

    assert "scheme" not in seen


def test_unix_socket_has_no_address(proxies: None) -> None:
    assert as_seen_by_proxy(scope("http", None, **FORWARDED))["client"] is None


def test_scope_without_such_headers_is_left_alone(proxies: None) -> None:
    plain = scope("http", "10.0.0.1")

    assert as_seen_by_proxy(plain) is plain
