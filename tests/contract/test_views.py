"""The document and its page over HTTP: the same for everybody, and complete without the internet."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from contract import asyncapi

PATHS = ("/api/asyncapi.json", "/api/asyncapi/")


@pytest.fixture
def page(client: Client, db: None) -> str:
    return client.get("/api/asyncapi/").content.decode()


def test_document_is_served_as_it_is_made(client: Client, db: None) -> None:
    answer = client.get("/api/asyncapi.json")

    assert answer["Content-Type"].startswith("application/json")
    assert answer.json() == asyncapi.document()


@pytest.mark.parametrize("path", PATHS)
def test_client_that_has_the_document_is_sent_nothing(client: Client, db: None, path: str) -> None:
    first = client.get(path)
    again = client.get(path, headers={"if-none-match": first["ETag"], "accept-language": "fr"})

    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")


def test_index_names_the_document_and_its_page(client: Client, db: None) -> None:
    assert set(PATHS) <= set(client.get("/api/").json()["paths"].values())


def test_page_needs_no_script_and_nothing_from_elsewhere(client: Client, db: None, page: str) -> None:
    policy = client.get("/api/asyncapi/")["Content-Security-Policy"]

    assert "<script" not in page
    assert re.findall(r"https?://[^\s\"'<>]+", page) == []
    assert re.findall(r"""(?:src|@import)\s*=?["'(]""", page) == []
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_page_shows_every_frame_at_an_anchor_of_its_own(page: str) -> None:
    anchors = re.findall(r'id="([^"]+)"', page)
    document = asyncapi.document()

    assert len(anchors) == len(set(anchors))
    assert {
        f"{channel}.{key}"
        for channel, described in document["channels"].items()
        for key in described["messages"]
    } <= set(anchors)
    assert {f"error.{code}" for code in document["x-error-codes"]} <= set(anchors)
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(anchors)


def test_page_and_that_of_rest_lead_to_each_other(client: Client, db: None, page: str) -> None:
    assert 'href="/api/docs/"' in page
    assert "/api/asyncapi/" in client.get("/api/schema/?format=json").content.decode()
