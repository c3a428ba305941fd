"""No request of a stranger, a member or an administrator to any route causes a fault of ours."""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.acceptance.people import People
from tests.attacks import odd
from tests.attacks.targets import NO_LIMITS
from tests.conftest import Backends
from tests.servers import ServerProcess

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]
PATHS = odd.paths()
#: The statuses of a server that fails. 501 is none of them: it is for methods that the server does not know.
FAULTS = {500, 502, 503}
#: Data of a notification, as somebody types it into the form of the admin.
ODD_DATA = (
    *("", "[]", "null", "7", '"x"', "{", '{"payment_id":"7"}', '{"payment_id":NaN}', '{"payment_id":1e400}'),
    r'{"payment_id":7,"a":"\u0000"}',
    r'{"payment_id":7,"a":"\ud800"}',
    '{"payment_id":' + "9" * 5_000 + "}",
    '{"payment_id":7,"a":"' + "x" * 20_000 + '"}',
    "[" * 100_000,
    '{"a":' * 5_000 + "1" + "}" * 5_000,
)


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def server(request: pytest.FixtureRequest, new_backends: Callable[[], Backends]) -> Iterator[ServerProcess]:
    env = {**NO_LIMITS, "ALLOWED_ORIGINS": "https://app.example.com", "SECURE_COOKIES": "off"}
    with ServerProcess(request.param, **vars(new_backends()), env=env) as running:
        yield running


@pytest.fixture(scope="module")
def administrator(server: ServerProcess) -> bytes:
    """The cookies of a user whom the admin let in."""
    form = _ask(server, "GET", "/admin/login/")
    csrf = _cookie(form, "csrftoken")
    fields = {"username": "admin", "password": "admin-password-1", "csrfmiddlewaretoken": csrf}
    headers = {"Cookie": f"csrftoken={csrf}", "Content-Type": "application/x-www-form-urlencoded"}
    answer = _ask(server, "POST", "/admin/login/?next=/admin/", urlencode(fields), headers)
    assert answer.status == 302, answer.status
    return f"sessionid={_cookie(answer, 'sessionid')}; csrftoken={_cookie(answer, 'csrftoken')}".encode()


def _ask(server: ServerProcess, method: str, path: str, body: str = "", headers: Any = None) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    answer.text = answer.read().decode()  # type: ignore[attr-defined]  # for who looks at it
    connection.close()
    return answer


def _cookie(answer: Any, name: str) -> str:
    found = re.search(rf"{name}=([^;]+)", " ".join(answer.headers.get_all("Set-Cookie", [])))
    assert found, name
    return found[1]


def status(server: ServerProcess, sent: bytes) -> int:
    """The status of the answer; 0 when the connection is only closed."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as peer:
        heard = b""
        try:
            peer.sendall(sent)
            while chunk := peer.recv(65_536):
                heard += chunk
        except ConnectionError:
            pass  # the request was refused before it was read to its end
    found = re.match(rb"HTTP/1\.[01] (\d{3})", heard)
    return int(found[1]) if found else 0


class Log:
    """The lines that the server has written since."""

    def __init__(self, server: ServerProcess) -> None:
        self._server, self._before = server, len(server.log())

    def faults(self) -> str:
        written = self._server.log()[self._before :]
        at = [written.find(mark) for mark in ("Traceback", '"level": "error"', '"level": "critical"')]
        first = min((place for place in at if place >= 0), default=-1)
        return "" if first < 0 else written[max(0, first - 600) : first + 3_000]


@pytest.mark.parametrize("name", odd.ODD)
def test_stranger_is_answered_and_leaves_no_traceback(server: ServerProcess, name: str):
    log = Log(server)

    answers = {path: status(server, odd.ODD[name](path.encode())) for path in PATHS}

    assert {path: code for path, code in answers.items() if code in FAULTS} == {}
    assert log.faults() == ""


QUERIES = [name for name in odd.ODD if odd.ODD[name](b"/").startswith(b"GET")]


@pytest.mark.parametrize("name", QUERIES)
def test_administrator_is_answered_and_leaves_no_traceback(
    server: ServerProcess, administrator: bytes, name: str
):
    """Administrators reach the larger half of the server: filters, searches, pages of rows."""
    log = Log(server)

    answers = {}
    for path in (path for path in PATHS if path.startswith("/admin/")):
        sent = odd.ODD[name](path.encode())
        if b"Cookie:" not in sent:
            sent = sent.replace(b"\r\n", b"\r\nCookie: " + administrator + b"\r\n", 1)
        answers[path] = status(server, sent)

    assert {path: code for path, code in answers.items() if code in FAULTS} == {}
    assert log.faults() == ""


@pytest.mark.parametrize("kind", ["payment_completed", "lottery_won", "", "\0"], ids=repr)
def test_odd_notification_is_told_in_the_form(server: ServerProcess, administrator: bytes, kind: str):
    log = Log(server)
    csrf = administrator.decode().partition("csrftoken=")[2]
    headers = {"Cookie": administrator.decode(), "Content-Type": "application/x-www-form-urlencoded"}

    for data in ODD_DATA:
        fields = {"user": "1", "kind": kind, "data": data, "csrfmiddlewaretoken": csrf}
        answer = _ask(server, "POST", "/admin/notifications/notification/add/", urlencode(fields), headers)
        assert (answer.status, "errorlist" in answer.text) == (200, True), data[:50]

    assert log.faults() == ""


SIGNED_IN = (
    ("GET", "?before=-1&after=99999999999999999999999&limit=1e9&unread=%00", b""),
    ("GET", "?before=9223372036854775807&after=%EF%BC%91&limit=200", b""),
    ("POST", "", b'{"username":{"a":1},"participants":[[]],"message":{},"title":1e5,"up_to_seq":1e400}'),
    ("POST", "", rb'{"participants":["\u0000"],"message":"\u0000","title":"\ud800","up_to_seq":1e18}'),
    ("PATCH", "", rb'{"email":"\u0000","language":"\ud800","first_name":{},"title":"\u0000","role":[]}'),
    ("DELETE", "", b"{}"),
    ("PUT", "?format=xml", b"\xff"),
)


def test_member_is_answered_and_leaves_no_traceback(server: ServerProcess):
    log, token = Log(server), People(server).token("reader").encode()
    headers = [b"Content-Type: application/json", b"Authorization: Bearer " + token]

    answers = {
        (method, path, query): status(server, odd.request(method, f"{path}{query}".encode(), headers, body))
        for path in PATHS
        if path.startswith("/api/") and path != "/api/auth/logout/"
        for method, query, body in SIGNED_IN
    }

    assert {asked: code for asked, code in answers.items() if code in FAULTS or not code} == {}
    assert log.faults() == ""
