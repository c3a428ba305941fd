"""Every failure has the shape that clients read, whoever finds it; paths work with a slash and without."""

import json

import pytest
from django.db import OperationalError
from django.urls import get_resolver

from directus import credentials
from directus.first_words import FIRST_WORDS
from directus.urls import urlpatterns
from tests.directus.answers import code, extensions, is_nothing

#: Every route, without the slash, and the methods that it knows.
ROUTES = {
    f"/{pattern.pattern}": {
        name.upper()
        for name in ("get", "post", "patch", "delete", "search")
        if hasattr(pattern.callback.view_class, name)
    }
    for pattern in urlpatterns
    if hasattr(pattern.callback, "view_class") and not str(pattern.pattern).endswith("/")
}


@pytest.mark.parametrize("path", sorted(ROUTES))
def test_wrong_method_names_the_right_ones(stranger, db, path):
    for method in sorted({"GET", "POST", "PUT", "PATCH", "DELETE", "SEARCH"} - ROUTES[path]):
        answer = stranger.generic(method, path, "{}", content_type="application/json")

        assert (answer.status_code, code(answer)) == (405, "METHOD_NOT_ALLOWED")
        assert ROUTES[path] <= set(answer.headers["Allow"].split(", "))
        assert method not in answer.headers["Allow"]
        assert extensions(answer)["current"] == method


@pytest.mark.parametrize("path", sorted(ROUTES))
def test_slash_at_the_end_makes_no_difference(stranger, db, path):
    for method in sorted(ROUTES[path]):
        answers = [
            stranger.generic(method, each, "{}", content_type="application/json")
            for each in (path, f"{path}/")
        ]

        assert len({(each.status_code, each.content) for each in answers}) == 1
        assert answers[0].status_code not in (301, 302, 308, 404)


@pytest.mark.parametrize("path", sorted(ROUTES))
def test_options_names_the_methods(stranger, db, path):
    answer = stranger.options(path)

    assert is_nothing(answer)
    assert ROUTES[path] <= set(answer.headers["Allow"].split(", "))


@pytest.mark.parametrize("word", FIRST_WORDS)
def test_unknown_path_below_every_first_word(stranger, db, word):
    for path in (f"/{word}/nowhere/7", f"/{word}/nowhere/"):
        for method in ("GET", "POST", "PATCH", "DELETE", "SEARCH", "PUT"):
            answer = stranger.generic(method, path)

            assert (answer.status_code, code(answer)) == (404, "ROUTE_NOT_FOUND")
            assert extensions(answer) == {"path": path}


def test_words_that_only_begin_so_are_nobodys(stranger, db):
    for path in ("/authors", "/usersx/me", "/server-status", "/nowhere"):
        assert stranger.get(path).headers["Content-Type"].startswith("text/html")


def test_long_path_is_not_repeated_in_full(stranger, db):
    assert len(stranger.get(f"/items/{'x' * 5000}").content) < 700


def test_front_page_and_admin_stay(stranger, db):
    assert b"<html" in stranger.get("/").content
    assert stranger.get("/admin/login/").status_code == 200


def test_routes_are_below_the_first_words(db):
    """Else a failure there would have another shape."""
    assert {path.split("/")[1] for path in ROUTES} <= set(FIRST_WORDS)
    assert len(ROUTES) >= 10


@pytest.mark.parametrize(
    "body",
    ["", "[", "[]", "7", '"text"', "null", '{"email":', "\x00", "{" * 5000, '{"a":' * 100 + "1" + "}" * 100],
)
def test_body_that_is_no_object(stranger, db, body):
    answer = stranger.generic("POST", "/auth/login", body, content_type="application/json")

    assert (answer.status_code, code(answer)) == (400, "INVALID_PAYLOAD")


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "nonsense"]
)
def test_body_of_another_type(stranger, db, kind):
    answer = stranger.generic("POST", "/auth/login", '{"email":"ana"}', content_type=kind)

    assert (answer.status_code, code(answer)) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(
    "kind", ["application/json;charset=utf-8", "Application/JSON", "application/json ;x=1"]
)
def test_type_of_the_body_in_other_spellings(stranger, db, kind):
    assert code(stranger.generic("POST", "/auth/login", "{}", content_type=kind)) == "INVALID_PAYLOAD"


def test_body_that_is_too_large(stranger, db, settings):
    settings.RELAIS = {**settings.RELAIS, "limit_body_bytes": 20_000}
    answer = stranger.post("/auth/login", {"email": "x" * 30_000, "password": "x"})

    assert (answer.status_code, code(answer)) == (413, "CONTENT_TOO_LARGE")


@pytest.mark.parametrize("accept", ["text/html", "image/png", "nonsense", "*/*", "application/json;q=0"])
def test_whatever_a_client_accepts_it_gets_json(stranger, db, accept):
    assert code(stranger.get("/users/me", HTTP_ACCEPT=accept)) == "INVALID_CREDENTIALS"


def test_header_of_a_body_on_a_get_is_passed_over(stranger, db):
    assert stranger.generic("GET", "/auth", content_type="application/json").status_code == 200


def test_database_that_is_away(stranger, db, monkeypatch):
    def away(_token):
        raise OperationalError("away")

    monkeypatch.setattr(credentials, "identify", away)
    answer = stranger.get("/users/me?access_token=x")

    assert (answer.status_code, code(answer)) == (503, "SERVICE_UNAVAILABLE")
    assert answer.headers["Retry-After"] == "1"


def test_mistake_of_ours(stranger, db, monkeypatch):
    def broken(_token):
        raise ZeroDivisionError

    monkeypatch.setattr(credentials, "identify", broken)
    stranger.raise_request_exception = False
    answer = stranger.get("/users/me?access_token=x")

    assert (answer.status_code, code(answer)) == (500, "INTERNAL_SERVER_ERROR")


def test_foreign_host(stranger, db):
    answer = stranger.get("/users/me", HTTP_HOST="evil.example")

    assert (answer.status_code, code(answer)) == (400, "INVALID_PAYLOAD")
    assert "ALLOWED_HOSTS" in json.dumps(extensions(answer))


def test_unauthorized_names_the_scheme(stranger, db):
    assert stranger.get("/users/me").headers["WWW-Authenticate"] == "Bearer"


def test_our_own_paths_keep_their_shape(stranger, db):
    assert stranger.get("/api/me/").headers["Content-Type"] == "application/problem+json"
    assert stranger.get("/api/nowhere/").json()["code"] == "not_found"


def test_own_paths_are_in_no_document_of_our_api(db):
    from drf_spectacular.generators import SchemaGenerator

    paths = SchemaGenerator().get_schema(public=True)["paths"]

    assert [path for path in paths if not path.startswith("/api/")] == []
    assert get_resolver().resolve("/users/me")
