"""Accounts over HTTP: shapes and statuses, and no input that is answered with 500."""

import json
import uuid
from unittest.mock import ANY

import pytest
from django.urls import include, path
from rest_framework.test import APIClient

from accounts import tokens
from accounts.models import Session, User
from accounts.services import SWITCHES
from accounts.tokens import identify

PASSWORD = "demo-password"
NEWCOMER = {"username": "dora", "email": "dora@example.com", "password": "tr1cky-enough"}
PROBLEM = {"type", "title", "status", "detail", "code", "retryable", "retry_after_ms"}


def assert_problem(response, status, code):
    body = response.json()
    assert (response.status_code, body["status"], body["code"]) == (status, status, code)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert set(body) - {"errors"} == PROBLEM


# ── register ─────────────────────────────────────────────────────────────────────────────────────────────


def test_register_answers_the_user_and_never_the_password(stranger, db):
    response = stranger.post("/api/auth/register/", NEWCOMER)

    user = User.objects.get()
    assert response.status_code == 201
    assert response.json() == {
        "id": user.pk,
        "username": "dora",
        "email": "dora@example.com",
        "language": "",
        "first_name": "",
        "last_name": "",
        "shares_receipts": True,
        "shares_typing": True,
    }
    assert user.check_password("tr1cky-enough")
    assert (user.is_staff, user.is_superuser) == (False, False)


def test_register_takes_no_rights_from_the_request(stranger, db):
    stranger.post("/api/auth/register/", {**NEWCOMER, "is_staff": True, "is_superuser": True, "id": 7})

    user = User.objects.get()
    assert (user.is_staff, user.is_superuser) == (False, False)


@pytest.mark.parametrize("email", [{}, {"email": ""}])
def test_register_without_email(stranger, db, email):
    fields = {key: value for key, value in NEWCOMER.items() if key != "email"}

    assert stranger.post("/api/auth/register/", fields | email).json()["email"] is None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"username": "ana"}, "username_taken"),
        ({"username": "AnA"}, "username_taken"),
        ({"email": "ANA@example.com"}, "email_taken"),
        ({"password": "12345678"}, "weak_password"),
        ({"password": "short"}, "weak_password"),
        ({"password": "dora@example"}, "weak_password"),
        ({"username": ""}, "invalid_input"),
        ({"username": "   "}, "invalid_input"),
        ({"username": None}, "invalid_input"),
        ({"username": ["dora"]}, "invalid_input"),
        ({"username": {"a": 1}}, "invalid_input"),
        ({"username": True}, "invalid_input"),
        ({"username": "two words"}, "invalid_input"),
        ({"username": "<b>"}, "invalid_input"),
        ({"username": "d" * 151}, "invalid_input"),
        ({"username": "\ufdfa" * 150}, "invalid_input"),  # each becomes eighteen letters when normalised
        ({"username": "do\0ra"}, "invalid_input"),
        ({"username": "\ud800"}, "invalid_json"),
        ({"email": "nonsense"}, "invalid_input"),
        ({"email": "a@b.c\0"}, "invalid_input"),
        ({"email": "\udfff@b.example"}, "invalid_json"),
        ({"email": "a" * 250 + "@b.example"}, "invalid_input"),
        ({"email": None}, "invalid_input"),
        ({"password": ""}, "invalid_input"),
        ({"password": None}, "invalid_input"),
        ({"password": "p" * 1025}, "invalid_input"),
        ({"password": "tr1cky\0enough"}, "invalid_input"),
        ({"password": "tr1cky\ud800enough"}, "invalid_json"),
    ],
)
def test_register_refuses(stranger, ana, change, code):
    User.objects.filter(pk=ana.pk).update(email="ana@example.com")

    response = stranger.post(
        "/api/auth/register/", json.dumps(NEWCOMER | change), content_type="application/json"
    )

    assert_problem(response, 400, code)
    assert User.objects.get() == ana
    if code == "invalid_input":
        assert set(response.json()["errors"]) == set(change)


BODIES = [
    b"", b"null", b"[]", b"7", b'"text"', b"{", b"\xff", b'{"username":"\xff"}', b'{"username":NaN}', b"{}",
    b'{"username":' + b"9" * 5000 + b"}", b"[" * 10_000, b'{"a":' * 10_000,
    b'{"username":"\\ud800","password":"\\u0000","email":"\\udfff","refresh":"\\ud800"}',
    b'{"old_password":"\\ud800","new_password":"\\u0000","language":"\\ud800","first_name":"\\u0000"}',
    b'{"old_password":"demo-password","new_password":"\\ud800"}',
    b'{"email":[],"first_name":{},"language":7,"last_name":1e999}',
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/auth/register/"),
        ("POST", "/api/token/"),
        ("POST", "/api/token/refresh/"),
        ("POST", "/api/auth/logout/"),
        ("POST", "/api/auth/password/"),
        ("PATCH", "/api/me/"),
        ("POST", "/api/ws-ticket/"),
    ],
)
def test_no_body_is_answered_with_500(signed_in, ana, method, path, body):
    client = signed_in(ana)
    client.raise_request_exception = False

    response = client.generic(method, path, body, content_type="application/json")

    assert response.status_code < 500
    if response.status_code >= 400:
        assert_problem(response, response.status_code, response.json()["code"])
    assert User.objects.get().check_password(PASSWORD)


# ── token ────────────────────────────────────────────────────────────────────────────────────────────────


def test_token_answers_a_pair(stranger, ana):
    response = stranger.post(
        "/api/token/",
        {"username": "ana", "password": PASSWORD},
        HTTP_USER_AGENT="Firefox",
        REMOTE_ADDR="203.0.113.7",
    )

    assert response.status_code == 200
    assert set(response.json()) == {"access", "refresh"}
    assert response.headers["Cache-Control"] == "no-store"
    assert identify(response.json()["access"]).user == ana
    session = Session.objects.get()
    assert (session.user_agent, session.address) == ("Firefox", "203.0.113.7")


def test_refused_sign_ins_look_alike(stranger, ana, bruno):
    User.objects.filter(pk=bruno.pk).update(is_active=False)

    answers = [
        stranger.post("/api/token/", {"username": name, "password": password})
        for name, password in [
            ("ana", "wrong"),
            ("nobody", PASSWORD),
            ("bruno", PASSWORD),
            ("nobody@example.com", "x"),
        ]
    ]

    for answer in answers:
        assert_problem(answer, 401, "wrong_credentials")
        assert answer.headers["WWW-Authenticate"]
    assert len({answer.content for answer in answers}) == 1


def test_stale_token_in_the_header_does_not_stand_in_the_way(stranger, ana):
    stranger.credentials(HTTP_AUTHORIZATION="Bearer expired")

    assert stranger.post("/api/token/", {"username": "ana", "password": PASSWORD}).status_code == 200


def test_refresh_rotates(stranger, ana):
    first = tokens.issue(ana)

    response = stranger.post("/api/token/refresh/", {"refresh": first["refresh"]})

    assert response.status_code == 200
    assert set(response.json()) == {"access", "refresh"}
    following = {"refresh": response.json()["refresh"]}
    again = stranger.post("/api/token/refresh/", {"refresh": first["refresh"]})
    assert again.json()["refresh"] == following["refresh"] != first["refresh"]
    assert stranger.post("/api/token/refresh/", following).status_code == 200
    assert_problem(
        stranger.post("/api/token/refresh/", {"refresh": first["refresh"]}), 401, "unauthenticated"
    )


@pytest.mark.parametrize("refresh", ["", None, 7, [], "x" * 9000])
def test_refresh_of_a_wrong_type_is_invalid_input(stranger, db, refresh):
    response = stranger.post(
        "/api/token/refresh/", json.dumps({"refresh": refresh}), content_type="application/json"
    )

    assert response.status_code in (400, 401)
    assert_problem(response, response.status_code, response.json()["code"])


def test_refresh_token_is_no_access_token(stranger, ana):
    pair = tokens.issue(ana)

    assert_problem(
        stranger.get("/api/me/", HTTP_AUTHORIZATION=f"Bearer {pair['refresh']}"), 401, "unauthenticated"
    )
    assert_problem(stranger.post("/api/token/refresh/", {"refresh": pair["access"]}), 401, "unauthenticated")


# ── logout, password ─────────────────────────────────────────────────────────────────────────────────────


def test_logout_ends_the_session_of_the_access_token(signed_in, ana):
    client, other = signed_in(ana), signed_in(ana)

    assert client.post("/api/auth/logout/").status_code == 204

    assert_problem(client.get("/api/me/"), 401, "session_revoked")
    refresh = {"refresh": client.pair["refresh"]}
    assert_problem(APIClient().post("/api/token/refresh/", refresh), 401, "session_revoked")
    assert other.get("/api/me/").status_code == 200


def test_logout_works_with_the_refresh_token_alone(stranger, signed_in, ana):
    device = signed_in(ana)

    assert stranger.post("/api/auth/logout/", {"refresh": device.pair["refresh"]}).status_code == 204

    assert_problem(device.get("/api/me/"), 401, "session_revoked")


def test_logout_works_when_the_access_token_has_expired(stranger, signed_in, ana):
    device = signed_in(ana)
    stranger.credentials(HTTP_AUTHORIZATION="Bearer expired")

    assert stranger.post("/api/auth/logout/", {"refresh": device.pair["refresh"]}).status_code == 204


def test_logout_of_nobody_is_refused(stranger, db):
    assert_problem(stranger.post("/api/auth/logout/"), 401, "unauthenticated")
    assert_problem(stranger.post("/api/auth/logout/", {"refresh": "x"}), 401, "unauthenticated")


def test_password_is_changed_and_the_others_signed_out(signed_in, ana):
    client, other = signed_in(ana), signed_in(ana)

    response = client.post("/api/auth/password/", {"old_password": PASSWORD, "new_password": "tr1cky-enough"})

    assert response.status_code == 204
    assert client.get("/api/me/").status_code == 200
    assert_problem(other.get("/api/me/"), 401, "session_revoked")
    ana.refresh_from_db()
    assert ana.check_password("tr1cky-enough")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"old_password": "wrong"}, "wrong_password"),
        ({"new_password": "1234"}, "weak_password"),
        ({"new_password": ""}, "invalid_input"),
    ],
)
def test_password_is_not_changed(signed_in, ana, change, code):
    client, other = signed_in(ana), signed_in(ana)

    body = {"old_password": PASSWORD, "new_password": "tr1cky-enough"} | change
    assert_problem(client.post("/api/auth/password/", body), 400, code)

    assert other.get("/api/me/").status_code == 200


# ── me ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_me_is_the_signed_in_user(signed_in, ana):
    assert signed_in(ana).get("/api/me/").json() == {
        "id": ana.pk,
        "username": "ana",
        "email": None,
        "language": "",
        "first_name": "",
        "last_name": "",
        "shares_receipts": True,
        "shares_typing": True,
    }


def test_me_is_changed(signed_in, ana, bruno):
    changes = {
        "language": "fr",
        "first_name": "Ana",
        "last_name": "É",
        "email": "ana@EXAMPLE.com",
        "shares_receipts": False,
        "shares_typing": False,
    }

    response = signed_in(ana).patch("/api/me/", changes)

    assert response.status_code == 200
    expected = changes | {"id": ana.pk, "username": "ana", "email": "ana@example.com"}
    assert response.json() == expected == signed_in(ana).get("/api/me/").json()
    bruno.refresh_from_db()
    assert (bruno.language, bruno.email) == ("", None)
    assert (bruno.shares_receipts, bruno.shares_typing) == (True, True)


@pytest.mark.parametrize(("switch", "other"), [SWITCHES, SWITCHES[::-1]])
def test_each_switch_is_turned_off_and_on_by_itself(signed_in, ana, switch, other):
    client = signed_in(ana)
    for shares in (False, True):
        assert client.patch("/api/me/", {switch: shares}).json()[switch] is shares

        stored = client.get("/api/me/").json()
        assert (stored[switch], stored[other]) == (shares, True)


@pytest.mark.parametrize("email", ["", None])
def test_my_email_is_removed(signed_in, ana, email):
    User.objects.filter(pk=ana.pk).update(email="ana@example.com")

    assert signed_in(ana).patch("/api/me/", {"email": email}).json()["email"] is None


def test_my_own_email_in_another_case_is_mine(signed_in, ana):
    User.objects.filter(pk=ana.pk).update(email="ana@example.com")

    assert signed_in(ana).patch("/api/me/", {"email": "Ana@example.com"}).json()["email"] == "Ana@example.com"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"email": "BRUNO@example.com"}, "email_taken"),
        ({"email": "nonsense"}, "invalid_input"),
        ({"language": "tlh"}, "invalid_input"),
        ({"language": "fr\0"}, "invalid_input"),
        ({"first_name": "x" * 151}, "invalid_input"),
        ({"first_name": "\ud800"}, "invalid_json"),
        ({"last_name": "\0"}, "invalid_input"),
        *[
            ({switch: value}, "invalid_input")
            for switch in SWITCHES
            for value in (None, "", "perhaps", 7, -1, 0.5, [], [False], {}, "false\0")
        ],
        ({"shares_typing": "\ud800"}, "invalid_json"),
        ({"shares_typing": False, "shares_receipts": "perhaps"}, "invalid_input"),
    ],
)
def test_me_refuses_bad_changes(signed_in, ana, bruno, change, code):
    User.objects.filter(pk=bruno.pk).update(email="bruno@example.com")

    response = signed_in(ana).patch("/api/me/", json.dumps(change), content_type="application/json")

    assert_problem(response, 400, code)
    ana.refresh_from_db()
    assert (ana.shares_receipts, ana.shares_typing) == (True, True)


def test_race_for_an_email_is_lost_politely(signed_in, ana, bruno, monkeypatch):
    User.objects.filter(pk=bruno.pk).update(email="bruno@example.com")
    monkeypatch.setattr("accounts.selectors.is_taken", lambda *_, **__: False)

    assert_problem(signed_in(ana).patch("/api/me/", {"email": "bruno@example.com"}), 400, "email_taken")


@pytest.mark.parametrize("field", ["id", "username", "is_staff", "is_superuser", "is_active", "password"])
def test_me_changes_no_other_field(signed_in, ana, field):
    before = User.objects.values().get()

    assert signed_in(ana).patch("/api/me/", {field: "1"}).status_code == 200

    assert User.objects.values().get() == before


# ── sessions ─────────────────────────────────────────────────────────────────────────────────────────────


def test_sessions_are_listed_with_the_present_one_marked(signed_in, ana, bruno):
    other = Session.objects.create(user=ana, user_agent="Firefox", address="10.0.0.1")
    Session.objects.create(user=ana, revoked_at="2026-01-01T00:00:00Z")
    Session.objects.create(user=bruno, user_agent="secret")
    client = signed_in(ana)

    results = client.get("/api/auth/sessions/").json()["results"]

    assert [row["current"] for row in results] == [True, False]
    assert set(results[1]) == {"id", "created_at", "last_used_at", "user_agent", "address", "current"}
    assert (results[1]["id"], results[1]["user_agent"]) == (str(other.pk), "Firefox")
    assert results[1]["created_at"].endswith("Z")


def test_listing_costs_the_same_for_one_session_and_for_three(signed_in, ana, django_assert_num_queries):
    client = signed_in(ana)
    for _ in range(2):
        with django_assert_num_queries(2):  # the token, and the list
            client.get("/api/auth/sessions/")
        Session.objects.bulk_create(Session(user=ana) for _ in range(3))


def test_device_is_signed_out_from_another(signed_in, ana):
    client, lost = signed_in(ana), signed_in(ana)
    session_id = tokens.AccessToken(lost.pair["access"])["sid"]

    assert client.delete(f"/api/auth/sessions/{session_id}/").status_code == 204

    assert_problem(lost.get("/api/me/"), 401, "session_revoked")
    assert client.get("/api/me/").status_code == 200


def test_sessions_of_others_and_of_nobody_look_alike(signed_in, ana, bruno):
    victim = signed_in(bruno)
    theirs = tokens.AccessToken(victim.pair["access"])["sid"]

    answers = [
        signed_in(ana).delete(f"/api/auth/sessions/{session_id}/") for session_id in (theirs, uuid.uuid4())
    ]

    for answer in answers:
        assert_problem(answer, 404, "not_found")
    assert answers[0].content == answers[1].content
    assert victim.get("/api/me/").status_code == 200


# ── all ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/me/"),
        ("PATCH", "/api/me/"),
        ("POST", "/api/ws-ticket/"),
        ("POST", "/api/auth/password/"),
        ("GET", "/api/auth/sessions/"),
        ("DELETE", f"/api/auth/sessions/{uuid.UUID(int=1)}/"),
    ],
)
@pytest.mark.parametrize("header", ["", "Basic YTpi", "Token abc", "Bearer"])
def test_stranger_is_refused(stranger, ana, method, path, header):
    stranger.force_login(ana)  # a session cookie is no credential

    response = stranger.generic(
        method, path, "{}", content_type="application/json", HTTP_AUTHORIZATION=header
    )

    assert_problem(response, 401, "unauthenticated")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="api"'


def test_forced_user_without_identity_is_refused(stranger, ana):
    """Our views need the identity; another way to authenticate does not give one."""
    stranger.force_authenticate(ana)

    assert_problem(stranger.get("/api/me/"), 401, "unauthenticated")


def test_openapi_describes_every_answer(db):
    """drf-spectacular warns where it had to guess."""
    from drf_spectacular.drainage import GENERATOR_STATS
    from drf_spectacular.generators import SchemaGenerator

    paths = [path("api/", include("accounts.urls"))]
    GENERATOR_STATS.reset()
    with GENERATOR_STATS.silence():
        schema = SchemaGenerator(patterns=paths).get_schema(request=None, public=True)

    assert not GENERATOR_STATS
    operations = {
        f"{method.upper()} {path}": sorted(operation["responses"])
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    }
    assert operations == {
        "POST /api/auth/register/": ["201", "400", "429", "503"],
        "POST /api/token/": ["200", "400", "401", "429", "503"],
        "POST /api/token/refresh/": ["200", "400", "401", "403", "429"],
        "POST /api/auth/logout/": ["204", "400", "401", "403", "429"],
        "POST /api/auth/password/": ["204", "400", "401", "403", "429", "503"],
        "GET /api/me/": ["200", "401", "403", "429"],
        "PATCH /api/me/": ["200", "400", "401", "403", "429"],
        "POST /api/ws-ticket/": ["200", "400", "401", "403", "429"],
        "GET /api/auth/sessions/": ["200", "401", "403", "429"],
        "DELETE /api/auth/sessions/{session_id}/": ["204", "401", "403", "404", "429"],
    }
    assert schema["components"]["securitySchemes"] == {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": ANY}
    }
