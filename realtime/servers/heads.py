"""The check of request heads: refuses what is too large or ambiguous, whatever the server's parser allows.

Mostly what two parsers could understand in two ways: a proxy in front that judges by the path, the host or
the length of a request must mean the same request as we do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from realtime.defaults import conf
from realtime.servers.refusals import BAD_REQUEST, BODY_TOO_BIG, HEAD_TOO_BIG, TARGET_TOO_LONG, RefusedError

Headers = Sequence[tuple[bytes, bytes]]

#: Lines of a head: a browser behind two proxies sends 30, and Apache takes 100.
MAX_HEADERS = 100
#: Bytes of a target, its query included: what nginx takes.
MAX_TARGET_BYTES = 8 * 1024


def check(method: bytes, target: bytes, version: bytes, headers: Headers) -> bool:
    """Check a head and return whether a body follows; raises RefusedError if it is too large or ambiguous.

    Names are in lower case, and a version is `1.1`.
    """
    size = len(target) + sum(len(name) + len(value) + 4 for name, value in headers)
    if len(target) > MAX_TARGET_BYTES:
        raise RefusedError(TARGET_TOO_LONG)
    if len(headers) > MAX_HEADERS or size > conf.limit_head_bytes:
        raise RefusedError(HEAD_TOO_BIG)
    # Never `http://host/path`, which is for proxies: its host and path are not where others look for them.
    if not target.startswith(b"/"):
        raise RefusedError(BAD_REQUEST)
    hosts = _all_of(b"host", headers)
    if len(hosts) > 1 or (version == b"1.1" and not hosts):  # RFC 9112 §3.2
        raise RefusedError(BAD_REQUEST)
    has_body = _has_body(version, headers)
    if b"websocket" in _words(_all_of(b"upgrade", headers)) and (
        has_body or method != b"GET"
    ):  # RFC 6455 §4.1
        raise RefusedError(BAD_REQUEST)
    return has_body


def _has_body(version: bytes, headers: Headers) -> bool:
    """Whether a body was announced, in exactly one way (RFC 9112 §6)."""
    lengths = _all_of(b"content-length", headers)
    codings = _all_of(b"transfer-encoding", headers)
    if len(lengths) + len(codings) > 1:
        raise RefusedError(BAD_REQUEST)
    if codings:
        if codings[0].lower() != b"chunked" or version != b"1.1":
            raise RefusedError(BAD_REQUEST)
        return True
    if not lengths:
        return False
    if not lengths[0].isdigit():
        raise RefusedError(BAD_REQUEST)
    # The count of digits comes first: Python refuses to parse a number with thousands of them.
    length = lengths[0].lstrip(b"0") or b"0"
    if len(length) > 12 or int(length) > conf.limit_body_bytes:
        raise RefusedError(BODY_TOO_BIG)
    return length != b"0"


def _all_of(wanted: bytes, headers: Headers) -> list[bytes]:
    return [value.strip() for name, value in headers if name == wanted]


def _words(values: Iterable[bytes]) -> list[bytes]:
    return [word.strip().lower() for value in values for word in value.split(b",")]
