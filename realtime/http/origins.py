"""Origins: which pages a browser may come from, besides those of the host that it talks to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from realtime.defaults import conf

DEFAULT_PORTS = {"http": 80, "https": 443}
#: An Origin as browsers write it (RFC 6454 §6.2), in any case. `urlsplit` would accept a lone `:`, `?` or `#`
#: at the end, spaces and control characters.
_ORIGIN = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[a-z0-9._~!$&'()*;=%-]+)(?::([0-9]{1,5}))?", re.IGNORECASE)


@lru_cache(maxsize=128)  # nearly all come from pages of a few origins
def normalized(origin: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of an Origin; None for what is none."""
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        return None
    scheme, host, port = found[1].lower(), found[2].lower(), found[3]
    return scheme, host, int(port) if port else DEFAULT_PORTS[scheme]


def is_listed(origin: str) -> bool:
    """Whether ALLOWED_ORIGINS names this origin, default ports aside; the wildcard names none."""
    normal = normalized(origin)
    if normal is None:
        return False
    if any(normal == normalized(allowed) for allowed in conf.allowed_origins):
        return True
    return any(re.match(pattern, origin) for pattern in conf.allowed_origin_patterns)


def is_own(origin: str, *, hosts: Sequence[str], scheme: str | None) -> bool:
    """Whether this is the origin of the host that was asked for; without a scheme the page's is as good.

    The host must be ours as well: a page may have pointed a name of its own to this server.
    """
    normal = normalized(origin)
    if normal is None or len(hosts) != 1:
        return False
    if not validate_host(split_domain_port(hosts[0])[0], settings.ALLOWED_HOSTS):
        return False
    return normal == normalized(f"{scheme or normal[0]}://{hosts[0]}")
