"""CORS: which pages may read answers, and which may send the cookies of their user."""

from typing import Any

import pytest

from directus.cors import CrossOrigin

PAGE = "https://app.example.com"
METHODS = "GET,POST,PATCH,DELETE,SEARCH"


@pytest.fixture(autouse=True)
def _allowed(settings):
    settings.RELAIS = {**settings.RELAIS, "allowed_origins": (PAGE,)}


async def asked(
    path: str = "/users/me", *, origin: str | None = PAGE, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str]]:
    """The status and the headers with which the layer lets an answer out."""
    sent: list[dict[str, Any]] = []

    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 403, "headers": [(b"x-inner", b"1")]})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    if origin is not None:
        given.append((b"origin", origin.encode()))
    scope = {"type": "http", "path": path, "method": method, "headers": given}
    await CrossOrigin(application)(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}


async def test_page_of_an_allowed_origin_reads_every_answer_with_cookies():
    status, headers = await asked()

    assert (status, headers) == (
        403,
        {
            "x-inner": "1",
            "vary": "Origin",
            "access-control-allow-origin": PAGE,
            "access-control-allow-credentials": "true",
            "access-control-expose-headers": "Retry-After",
        },
    )


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://app.example.com", "null", "", f"{PAGE}.evil"]
)
async def test_page_of_another_origin_reads_nothing(origin):
    for method, extra in (("GET", {}), ("OPTIONS", {"access_control_request_method": "PATCH"})):
        _, headers = await asked(origin=origin, method=method, **extra)

        assert headers.keys() <= {"x-inner", "vary"}


async def test_preflight_is_answered_without_the_application():
    status, headers = await asked(
        method="OPTIONS",
        access_control_request_method="PATCH",
        access_control_request_headers="content-type,authorization",
    )

    assert status == 204
    assert headers["access-control-allow-origin"] == PAGE
    assert headers["access-control-allow-credentials"] == "true"
    assert headers["access-control-allow-methods"] == METHODS
    assert headers["access-control-allow-headers"] == "Content-Type, Authorization"
    assert "x-inner" not in headers


async def test_options_that_are_no_preflight_reach_the_application():
    assert (await asked(method="OPTIONS"))[1]["x-inner"] == "1"


async def test_request_without_an_origin_is_told_that_answers_differ():
    assert (await asked(origin=None))[1] == {"x-inner": "1", "vary": "Origin"}


async def test_wildcard_lets_everybody_read_and_nobody_send_cookies(settings):
    settings.RELAIS = {**settings.RELAIS, "allowed_origins": ("*", PAGE)}

    _, headers = await asked(origin="https://anybody.example")
    assert headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in headers
    _, headers = await asked(origin=PAGE)
    assert headers["access-control-allow-credentials"] == "true"


async def test_page_of_a_developers_machine(settings):
    settings.RELAIS = {**settings.RELAIS, "allowed_origin_patterns": (r"http://localhost(:[0-9]+)?\Z",)}

    _, headers = await asked(origin="http://localhost:3000")
    assert headers["access-control-allow-origin"] == "http://localhost:3000"
    assert headers["access-control-allow-credentials"] == "true"


@pytest.mark.parametrize("path", ["/", "/api/me/", "/admin/", "/usersx"])
async def test_other_paths_are_passed_on_as_they_are(path):
    assert (await asked(path))[1] == {"x-inner": "1"}
    assert (await asked(path, method="OPTIONS", access_control_request_method="GET"))[1] == {"x-inner": "1"}
