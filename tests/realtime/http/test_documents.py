"""The documents of the API are made once, however often and in whatever form somebody asks for them."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from django.test import Client
from drf_spectacular.generators import SchemaGenerator

from realtime.http.documents import DocumentView, SchemaView
from tests.attacks import surface

FORMS = (
    "application/vnd.oai.openapi",
    "application/yaml",
    "application/vnd.oai.openapi+json",
    "application/json",
)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One entry for each time that the OpenAPI document is put together; none was made before."""
    times: list[object] = []
    stock = SchemaGenerator.get_schema

    def get_schema(self: Any, *args: Any, **options: Any) -> Any:
        times.append(self)
        return stock(self, *args, **options)

    monkeypatch.setattr(SchemaGenerator, "get_schema", get_schema)
    monkeypatch.setattr(DocumentView, "_made", {})
    return times


def test_schema_is_made_once_for_each_form(client: Client, db: None, made: list[object]) -> None:
    for number in range(40):
        accept = {"accept": f"{FORMS[number % 4]}; indent={number}", "accept-language": f"l{number}"}
        answer = client.get(f"/api/schema/?lang=x{number}&version={number}", headers=accept)
        assert answer.status_code == 200
        client.head("/api/schema/", headers=accept)

    assert len(made) == len(FORMS)


def test_first_requests_that_come_together_wait_for_one_document(made: list[object]) -> None:
    """Making the document takes part of a second; so many requests at once would take all threads."""
    view, renderer = SchemaView(), SchemaView.renderer_classes[0]()
    threads = [threading.Thread(target=view._document, args=(renderer,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(made) == 1


def test_language_of_the_caller_changes_nothing(client: Client, db: None) -> None:
    asked = [
        client.get(path, headers={"accept-language": language})
        for path in ("/api/schema/", "/api/schema/?lang=fr")
        for language in ("fr", "en")
    ]

    assert len({answer.content for answer in asked}) == 1


@pytest.mark.parametrize("path", ["/api/", "/api/schema/", "/api/docs/"])
def test_client_that_has_the_document_is_sent_nothing(client: Client, db: None, path: str) -> None:
    first = client.get(path)
    again = client.get(path, headers={"if-none-match": first["ETag"]})

    assert "max-age" in first["Cache-Control"]
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(path, headers={"if-none-match": '"another"'}).status_code == 200


@pytest.mark.parametrize("path", ["/api/", "/api/schema/", "/api/docs/"])
def test_options_says_what_may_be_asked(client: Client, db: None, path: str, made: list[object]) -> None:
    answer = client.options(path)

    assert (answer.status_code, answer.content, made) == (204, b"", [])
    assert answer["Allow"] == "GET, HEAD, OPTIONS"


def test_json_and_yaml_are_the_same_document(client: Client, db: None) -> None:
    import yaml

    as_json, as_yaml = (client.get(f"/api/schema/?format={form}").content for form in ("json", "yaml"))

    assert json.loads(as_json) == yaml.safe_load(as_yaml)


def test_docs_page_runs_our_files_and_its_own_script_only(client: Client, db: None) -> None:
    policy = client.get("/api/docs/")["Content-Security-Policy"]
    scripts = next(part for part in policy.split("; ") if part.startswith("script-src"))

    assert scripts.split()[1] == "'self'"
    assert [source[:8] for source in scripts.split()[2:]] == ["'sha256-"]
    assert "default-src 'none'" in policy


def test_docs_page_makes_no_session_and_no_cookie(client: Client, db: None) -> None:
    assert not client.get("/api/docs/").cookies


def test_index_lists_every_view_of_the_api(client: Client, db: None) -> None:
    index = client.get("/api/").json()
    api = [route for route in surface.views() if route.startswith("/api/")]
    shape = {name: "{" + name + "}" for route in api for name in surface.places(route)}

    assert sorted(index["paths"].values()) == sorted(surface.filled(route, shape) for route in api)
    assert index["docs"] == "/api/docs/"
    assert index["paths"]["token"] == "/api/token/"
