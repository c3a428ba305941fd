"""Client addresses: the one that a request or a socket comes from, and the one that limits count it for."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Any

from realtime.defaults import conf


@lru_cache(maxsize=64)
def _networks(cidrs: tuple[str, ...]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(cidr, strict=False) for cidr in cidrs)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address in a text, or None; IPv4 that a dual-stack listener wrote as IPv6 is read as IPv4."""
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(ip, "ipv4_mapped", None) or ip


def is_trusted_proxy(address: str, proxies: tuple[str, ...]) -> bool:
    """Whether an address is in one of the networks of trusted proxies, whose headers are believed."""
    ip = _address(address)
    return ip is not None and any(ip in network for network in _networks(proxies))


def client_address(source: Any) -> str:
    """The address a request or a socket comes from, behind the proxies we trust.

    `source` is a Django request or an ASGI scope. Forwarded addresses are read from the right: the first that
    is not a proxy of ours is the client, and everything left of it is the client's own claim. A word that is
    not an address ends the reading: then the proxy that wrote it counts as the client.
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
    """The address that limits count a request or a socket for."""
    return counted(client_address(source))


@lru_cache(maxsize=1024)  # asked three times of each socket that opens
def counted(address: str) -> str:
    """The address that limits count: an IPv4 address itself, or the /64 network of an IPv6 address.

    A /64 is the least that a provider hands out, so a client with one address has all 2⁶⁴ of it.
    """
    ip = _address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(ip), 64), strict=False))
    return address if ip is None else str(ip)
