"""Addresses: whose a request or a socket is, and for whom it counts."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Any

from realtime.conf import conf
from realtime.rates import Bucket, Buckets, Rate

__all__ = [
    "Bucket",
    "Buckets",
    "Rate",
    "client_address",
    "counted",
    "counted_address",
    "is_trusted_proxy",
]


@lru_cache(maxsize=64)
def _networks(cidrs: tuple[str, ...]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(cidr, strict=False) for cidr in cidrs)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address a text names; one that a dual-stack listener wrote as IPv6 is the IPv4 it stands for."""
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(ip, "ipv4_mapped", None) or ip


def is_trusted_proxy(address: str, proxies: tuple[str, ...]) -> bool:
    """Whether forwarded headers of this peer are believed."""
    ip = _address(address)
    return ip is not None and any(ip in network for network in _networks(proxies))


def client_address(source: Any) -> str:
    """The address a request or a socket comes from, behind the proxies we trust.

    `source` is a Django request or an ASGI scope. Forwarded addresses are read from the right: the
    first that is no proxy of ours is the client; everything left of it is the client's own claim. What
    is no address ends the reading: the proxy that wrote it counts for its clients.
    """
    proxies = tuple(conf.trusted_proxies)
    if isinstance(source, dict):
        address = str((source.get("client") or ("unknown",))[0])
        forwarded = b",".join(v for k, v in source.get("headers", ()) if k == b"x-forwarded-for").decode(
            "latin1"
        )
    else:
        address = source.META.get("REMOTE_ADDR") or "unknown"
        forwarded = source.META.get("HTTP_X_FORWARDED_FOR", "")
    for hop in reversed([hop.strip() for hop in forwarded.split(",") if hop.strip()]):
        if not is_trusted_proxy(address, proxies) or (ip := _address(hop)) is None:
            break
        address = str(ip)
    return address


def counted_address(source: Any) -> str:
    """Whom limits count a request or a socket for."""
    return counted(client_address(source))


def counted(address: str) -> str:
    """Whom limits count an address for: an IPv4 address itself, of an IPv6 address its /64.

    That is the least a provider hands out: who has one address of it has 2⁶⁴.
    """
    ip = _address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(ip), 64), strict=False))
    return address if ip is None else str(ip)
