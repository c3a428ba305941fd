"""The demo's pages, before any script has run."""

import sys
from html import unescape

import pytest
from django.test import Client

from tests.acceptance import guide

pytestmark = pytest.mark.django_db


def test_page_shows_what_the_server_runs_on(client: Client, settings, monkeypatch):
    monkeypatch.delitem(sys.modules, "uvicorn.server", raising=False)  # other tests import it
    page = client.get("/").content.decode()

    for word in ("Daphne", "/api/docs/", "/admin/", "npx wscat -c", "ws://testserver/ws/chat/123/"):
        assert word in page
    is_redis = "redis" in settings.CHANNEL_LAYERS["default"]["BACKEND"]
    assert ("memory layer: one process only" in page) is not is_redis


def test_page_shows_the_code_of_the_guide(client: Client):
    page = unescape(client.get("/").content.decode())

    for snippet in (guide.CHAT, guide.TYPING, guide.NOTIFICATIONS):
        assert guide.with_token(snippet) in page
    assert guide.TOKEN_LINE.strip() in page


@pytest.mark.parametrize("path", ["/", "/demo/ana/", "/demo/bruno/"])
def test_nothing_inline_and_nothing_from_elsewhere_may_run(client: Client, path: str):
    response = client.get(path)

    policy = dict(part.split(" ", 1) for part in response["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["connect-src"] == "'self' ws://testserver wss://testserver"
    assert "<script>" not in response.content.decode()
    assert " style=" not in response.content.decode()


def test_people_are_framed_by_the_page_and_the_page_by_nobody(client: Client):
    page, person = client.get("/"), client.get("/demo/ana/")

    assert (page["X-Frame-Options"], person["X-Frame-Options"]) == ("DENY", "SAMEORIGIN")
    assert "frame-ancestors 'none'" in page["Content-Security-Policy"]
    assert "frame-ancestors 'self'" in person["Content-Security-Policy"]


def test_over_https_the_guides_ws_is_read_as_wss(client: Client):
    plain, secure = client.get("/demo/ana/"), client.get("/demo/ana/", secure=True)

    assert "upgrade-insecure-requests" not in plain["Content-Security-Policy"]
    assert "upgrade-insecure-requests" in secure["Content-Security-Policy"]
    assert "wss://testserver/ws/chat/123/" in client.get("/", secure=True).content.decode()


@pytest.mark.parametrize("username", ["admin", "reader", "clara"])
def test_nobody_else_can_be_signed_in_as_by_one_click(client: Client, username: str):
    assert client.get(f"/demo/{username}/").status_code == 404


def test_pages_accept_no_post(client: Client):
    assert client.post("/").status_code == 405
    assert client.post("/demo/ana/").status_code == 405


def test_french_readers_get_french_pages(client: Client):
    page = client.get("/", headers={"accept-language": "fr-CA,fr;q=0.9"}).content.decode()
    person = client.get("/demo/ana/", headers={"accept-language": "fr"}).content.decode()

    assert '<html lang="fr">' in page
    assert "Montrer le code" in page
    assert "Se connecter comme Ana" in person
