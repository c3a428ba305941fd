"""Pages that belong to no app: the front page, and errors that no REST view has handled."""

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from realtime.http import pages


def test_unknown_api_path_is_a_problem_document(client: Client, db: None) -> None:
    answer = client.get("/api/nowhere/")

    assert answer.status_code == 404
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "not_found"


def test_other_unknown_path_is_a_page(client: Client, db: None) -> None:
    answer = client.get("/nowhere/")

    assert answer.status_code == 404
    assert answer["Content-Type"].startswith("text/html")


def test_unknown_host_is_a_problem_document(client: Client, db: None) -> None:
    answer = client.get("/api/me/", headers={"host": "evil.example"})

    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_input"


def test_failing_view_is_a_problem_document(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from accounts import api

    def fail(*_args: Any, **_options: Any) -> None:
        raise RuntimeError("the reason is for the log")

    monkeypatch.setattr(api.MeView, "initial", fail)

    answer = Client(raise_request_exception=False).get("/api/me/")

    assert answer.status_code == 500
    assert answer.json()["code"] == "internal_error"
    assert b"reason" not in answer.content


def test_front_door_without_the_demo_says_where_to_go(rf: Any) -> None:
    answer = json.loads(pages.home(rf.get("/")).content)

    assert answer["docs"] == reverse("docs")
    assert answer["schema"] == reverse("schema")
