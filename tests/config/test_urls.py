"""The HTTP side of the assembly: the API's description, its offline page, and the headers for browsers."""

import contextlib
import re
from typing import Any

import pytest
import yaml
from django.test import Client
from drf_spectacular import drainage
from openapi_spec_validator import validate

from tests.config.test_settings import settings_with


@pytest.fixture
def files_of_a_server(settings: Any) -> None:
    """Static files as a server has them: it reads them when it starts."""
    settings.WHITENOISE_AUTOREFRESH = False


def is_served(client: Client, path: str) -> bool:
    with contextlib.closing(client.get(path)) as answer:
        return answer.status_code == 200


def test_openapi_document_is_valid_and_lists_the_contract(client: Client, db: None) -> None:
    drainage.reset_generator_stats()
    document = yaml.safe_load(client.get("/api/schema/").content)
    guessed = bool(drainage.GENERATOR_STATS)

    validate(document)
    assert not guessed, "the generator warned: `manage.py spectacular --fail-on-warn` says of what"
    assert {
        "/api/auth/register/",
        "/api/token/",
        "/api/token/refresh/",
        "/api/auth/logout/",
        "/api/me/",
        "/api/ws-ticket/",
        "/api/conversations/",
        "/api/notifications/",
        "/api/notifications/read-all/",
        "/api/notifications/unread-count/",
    } <= set(document["paths"])


@pytest.mark.usefixtures("files_of_a_server")
def test_docs_page_works_without_the_internet(client: Client, db: None) -> None:
    page = client.get("/api/docs/")

    assert page.status_code == 200
    html = page.content.decode()
    sources = re.findall(r"""(?:src|href)=["']([^"']+)""", html)
    assert len(sources) >= 3
    assert [source for source in sources if source.startswith(("http:", "https:", "//"))] == []
    assert re.findall(r"https?://(?!testserver)[^\s\"'<>]+", html) == []
    for source in sources:
        if source.startswith("/static/"):
            assert is_served(client, source), source


@pytest.mark.usefixtures("files_of_a_server")
def test_admin_works_before_collectstatic(client: Client, db: None) -> None:
    page = client.get("/admin/login/")

    assert page.status_code == 200
    stylesheet = re.search(r'href="(/static/admin/css/base[^"]*\.css)"', page.content.decode())
    assert stylesheet
    assert is_served(client, stylesheet[1])


def test_other_origins_may_call_only_what_is_allowed(client: Client, db: None, settings: Any) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example.com"]

    def allowed(origin: str, path: str = "/api/token/") -> str | None:
        return client.options(
            path,
            headers={"origin": origin, "access-control-request-method": "POST"},
        ).headers.get("access-control-allow-origin")

    assert allowed("https://app.example.com") == "https://app.example.com"
    assert allowed("https://evil.example") is None
    assert allowed("https://app.example.com", "/admin/") is None


@pytest.mark.acceptance
def test_pages_of_this_machine_may_call_only_while_they_are_developed(
    client: Client, db: None, settings: Any
) -> None:
    def allowed() -> str | None:
        return client.get("/api/", headers={"origin": "http://localhost:5173"}).headers.get(
            "access-control-allow-origin"
        )

    settings.CORS_ALLOWED_ORIGIN_REGEXES = settings_with("LOCAL_ORIGINS", DEBUG="on")[0]
    assert allowed() == "http://localhost:5173"
    settings.CORS_ALLOWED_ORIGIN_REGEXES = settings_with("CORS_ALLOWED_ORIGIN_REGEXES")[0]
    assert allowed() is None


def test_pages_cannot_be_framed_or_sniffed(client: Client, db: None) -> None:
    headers = client.get("/admin/login/").headers

    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
