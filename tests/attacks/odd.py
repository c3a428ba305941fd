"""Requests that no browser sends, for every route: by name, a function that makes one of a path, as bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from tests.attacks import surface

#: The values for the places in routes, Django's own included.
IDS: dict[str, object] = {
    "conversation_id": 123,
    "message_id": 1,
    "user_id": 1,
    "notification_id": 1,
    "session_id": "00000000-0000-4000-8000-000000000000",
    "username": "ana",
    "object_id": 1,
    "content_type_id": 1,
    "id": 1,
    "first_word": "items",
    "rest": "nowhere/1",
}
#: Django's admin has the same pages for each model: the pages of one model stand for all.
_MODEL = "/admin/notifications/notification/"
_ELSEWHERE = (
    "/health/live",
    "/health/ready",
    "/metrics",
    "/static/admin/css/base.css",
    "/static/x",
    "/nowhere",
)


def paths() -> list[str]:
    """Every address of a route, and those that are answered before Django."""
    routes = [re.sub(r"\(\?P<\w+>.*", "x", route).replace("^", "") for route in surface.routes()]
    mine = [route for route in routes if not re.match(r"/admin/\w+/\w+/", route) or route.startswith(_MODEL)]
    return [*dict.fromkeys(surface.filled(route, IDS) for route in mine), *_ELSEWHERE]


def request(
    method: str,
    target: bytes,
    headers: Sequence[bytes] = (),
    body: bytes = b"",
    *,
    host: bytes = b"localhost",
) -> bytes:
    """The bytes of a request that closes its connection."""
    lines = [b"%s %s HTTP/1.1" % (method.encode(), target), b"Host: " + host, b"Connection: close", *headers]
    if method != "GET":
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", body])


_FORM = b"Content-Type: application/x-www-form-urlencoded"
_JSON = b"Content-Type: application/json"
_MANY = b"&".join(b"a%d=1" % number for number in range(1_500))


def _get(query: bytes = b"", *headers: bytes) -> Callable[[bytes], bytes]:
    return lambda path: request("GET", path + query, headers)


def _post(body: bytes, *headers: bytes) -> Callable[[bytes], bytes]:
    return lambda path: request("POST", path, headers, body)


ODD: dict[str, Callable[[bytes], bytes]] = {
    "OPTIONS": lambda path: request("OPTIONS", path),
    "TRACE": lambda path: request("TRACE", path),
    "a foreign host": lambda path: request("GET", path, host=b"evil.example"),
    "no name of a host": lambda path: request("GET", path, host=b"a_b:x@%00"),
    "HTTP/1.0 without a host": lambda path: b"GET %s HTTP/1.0\r\n\r\n" % path,
    "another server's address": lambda path: request("GET", b"http://evil.example" + path),
    "too many parameters": _get(b"?" + _MANY),
    "a form with too many fields": _post(_MANY, _FORM),
    "a form that is too large": _post(b"a=" + b"x" * 1_100_000, _FORM),
    "a form in no charset": _post(b"a=b", _FORM + b"; charset=zzz"),
    "parts without a boundary": _post(b"--x\r\nfoo", b"Content-Type: multipart/form-data; boundary="),
    "parts that are none": _post(
        b'--x\r\nContent-Disposition: form-data; name="a"; filename="\0"\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\n!!!\r\n--x--",
        b"Content-Type: multipart/form-data; boundary=x",
    ),
    "U+0000 in the path": _get(b"%00"),
    "U+0000 before the path": lambda path: request("GET", b"/%00" + path),
    "no UTF-8 in the path": _get(b"%ff%fe"),
    "bytes in the path": _get(b"\xff\xfe?x=\xff"),
    "half an escape": _get(b"%zz%"),
    "U+0000 in the query": _get(b"?a=%00&next=%00&q=%00&before=%00&format=%00&limit=%00&e=%00"),
    "no UTF-8 in the query": _get(b"?a=%ff%fe&next=%ff&%ff=1&before=%ff"),
    "half a character in the query": _get(b"?a=%ed%a0%80&next=%ed%a0%80"),
    "numbers past everything": _get(
        b"?before=-1&after=99999999999999999999999&limit=1e9&p=-1&o=9999999999999"
    ),
    "a header in next": _get(b"?next=//evil.example/%0d%0aX:%20y&next[]=1"),
    "a long path": _get(b"a" * 4_000),
    "a path of dots": lambda path: request("GET", path + b"..%5c..%2f..%2f"),
    "cookies with U+0000": _get(
        b"", rb'Cookie: sessionid="\000\001abcdefgh"; csrftoken="\000"; messages="\000"; =; ;; a'
    ),
    "a form and cookies with U+0000": _post(
        b"csrfmiddlewaretoken=%00", _FORM, rb'Cookie: sessionid="\000abcdefgh"; csrftoken="\000"'
    ),
    "long cookies": _get(b"", b"Cookie: sessionid=" + b"x" * 2_000 + b"; csrftoken=" + b"y" * 2_000),
    "odd wishes": _get(
        b"", b"Accept: \xff/\xfe;q=x,,;;=, */*;q=\x80", b"Accept-Language: \xff, fr;q=99999999"
    ),
    "a long language": _get(b"", b"Accept-Language: " + b"x-" * 2_000),
    "odd conditions": _get(
        b"",
        b"Range: bytes=99999999-1,-,x",
        b"If-None-Match: \xff",
        b"If-Modified-Since: Thu, 01 Jan 0000 0:0:0 GMT",
    ),
    "a token of bytes": _get(b"", b"Authorization: Bearer \xff\x80"),
    "a key of bytes": _post(b"{}", _JSON, b"X-Api-Key: \xff\xfe", b"Idempotency-Key: \xff"),
    "no type": _post(b"{}", b"Content-Type: \xff; charset=\xff"),
    "JSON in no charset": _post(b"{}", _JSON + b"; charset=utf-99"),
    "JSON that is none": _post(b"\xff\0", _JSON),
    "JSON too deep": _post(b"[" * 100_000, _JSON),
    "JSON with U+0000": _post(rb'{"username":"\u0000","password":"\u0000","refresh":"\u0000"}', _JSON),
    "JSON with half a character": _post(
        rb'{"username":"\ud800","password":"\ud800","email":"a\ud800@b.c","refresh":"\ud800.\ud800.\ud800"}',
        _JSON,
    ),
    "JSON of other types": _post(b'{"username":{"a":1},"password":[1],"email":1e400,"refresh":true}', _JSON),
    "no origin": _get(b"", b"Origin: http://[::1", b"Access-Control-Request-Method: \xff"),
    "a preflight of no origin": lambda path: request(
        "OPTIONS", path, [b"Origin: http://[bad", b"Access-Control-Request-Method: POST"]
    ),
    "a form from nowhere": _post(
        b"csrfmiddlewaretoken=" + b"a" * 64, _FORM, b"Referer: http://[bad", b"Cookie: csrftoken=" + b"a" * 32
    ),
    "odd proxies": _get(
        b"", b"X-Forwarded-For: \xff, ::::1", b"X-Forwarded-Proto: \xff", b'Forwarded: for="["'
    ),
    "another protocol": _get(b"", b"Upgrade: h2c"),
}
