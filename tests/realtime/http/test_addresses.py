"""Client addresses behind trusted proxies, and the size of a message by path."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import RequestFactory

from realtime.http.addresses import client_address, counted_address, is_trusted_proxy


@pytest.fixture(autouse=True)
def proxies(settings: Any) -> None:
    settings.RELAIS = {**settings.RELAIS, "trusted_proxies": ("10.0.0.0/8", "fd00::/8", "192.0.2.7")}


def asked_by(peer: str, *forwarded: str) -> list[str]:
    """The address as found for a socket and for a request."""
    headers = [(b"x-forwarded-for", value.encode("latin1")) for value in forwarded]
    scope = {"client": [peer, 4711], "headers": headers}
    extra: Any = {"HTTP_X_FORWARDED_FOR": ",".join(forwarded)} if forwarded else {}
    request = RequestFactory().get("/", REMOTE_ADDR=peer, **extra)
    return [client_address(scope), client_address(request)]


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("198.51.100.1", [], "198.51.100.1"),
        ("198.51.100.1", ["203.0.113.7"], "198.51.100.1"),  # the header is not believed
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        # The address left of it is the client's own claim.
        ("10.0.0.1", ["1.1.1.1, 203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["203.0.113.7, 10.0.0.2, 192.0.2.7"], "203.0.113.7"),
        ("10.0.0.1", ["1.1.1.1", "203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["", " , ,"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.7, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.7, 10.0.0.2:80"], "10.0.0.1"),
        ("10.0.0.1", ["x" * 10_000], "10.0.0.1"),
        ("fd00::1", ["2001:DB8::7"], "2001:db8::7"),
        ("2001:db8::1", ["203.0.113.7"], "2001:db8::1"),
        # A listener on [::] writes the addresses of IPv4 peers as IPv6.
        ("::ffff:10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("::ffff:198.51.100.1", ["203.0.113.7"], "::ffff:198.51.100.1"),
        ("10.0.0.1", ["::ffff:203.0.113.7"], "203.0.113.7"),
    ],
)
def test_client_is_the_first_that_is_no_proxy_of_ours(peer, forwarded, address):
    assert asked_by(peer, *forwarded) == [address, address]


def test_peer_without_an_address_is_unknown():
    assert client_address({"client": None, "headers": []}) == "unknown"
    assert client_address({"headers": [(b"x-forwarded-for", b"203.0.113.7")]}) == "unknown"


@pytest.mark.parametrize(
    ("peer", "counted"),
    [
        ("198.51.100.1", "198.51.100.1"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
    ],
)
def test_addresses_of_one_subscriber_are_counted_as_one(peer, counted):
    assert counted_address({"client": [peer, 4711], "headers": []}) == counted


@pytest.mark.parametrize(
    "address", ["", "unknown", "10.0.0.1:80", "10.0.0", "10.0.0.0/8", "fd00::1%eth0x" * 9]
)
def test_text_that_is_no_address_is_no_proxy(address):
    assert not is_trusted_proxy(address, ("10.0.0.0/8",))
