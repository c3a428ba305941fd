"""`/auth`: signing in, refreshing and signing out, in the three modes."""

import datetime as dt

import pytest
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken

from accounts import services, tokens
from accounts.models import Session
from accounts.tokens import REUSE_GRACE, identify
from directus.credentials import REFRESH_COOKIE, SESSION_COOKIE
from tests.directus.answers import code, extensions, is_nothing
from tests.factories import PASSWORD

LOGIN = {"email": "ana", "password": PASSWORD}
HOUR, DAY, WEEK = 3_600, 86_400, 604_800


@pytest.fixture
def page(stranger):
    """A browser: signs in in a mode, and keeps the cookies."""

    def sign_in(mode: str):
        assert stranger.post("/auth/login", {**LOGIN, "mode": mode}).status_code == 200
        return stranger

    return sign_in


# ── signing in ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mode", [{}, {"mode": "json"}, {"mode": None}])
def test_json_mode_answers_both_tokens_and_sets_no_cookie(stranger, ana, mode):
    answer = stranger.post("/auth/login", LOGIN | mode)

    data = answer.json()["data"]
    assert (answer.status_code, answer.json().keys()) == (200, {"data"})
    assert data.keys() == {"expires", "refresh_token", "access_token"}
    assert data["expires"] == HOUR * 1000
    assert identify(data["access_token"]).user == ana
    assert not answer.cookies
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"


def test_cookie_mode_keeps_the_refresh_token_out_of_the_body(stranger, ana):
    answer = stranger.post("/auth/login", {**LOGIN, "mode": "cookie"})

    assert answer.json()["data"].keys() == {"expires", "access_token"}
    cookie = answer.cookies[REFRESH_COOKIE]
    assert services.refresh(token=cookie.value)
    assert (cookie["httponly"], cookie["path"], cookie["samesite"], cookie["max-age"]) == (
        True,
        "/",
        "Lax",
        WEEK,
    )
    assert cookie["secure"]


def test_session_mode_answers_nothing_but_the_time(stranger, ana):
    answer = stranger.post("/auth/login", {**LOGIN, "mode": "session"})

    assert answer.json() == {"data": {"expires": DAY * 1000}}
    cookie = answer.cookies[SESSION_COOKIE]
    assert identify(cookie.value).user == ana
    assert (cookie["httponly"], cookie["path"], cookie["samesite"], cookie["max-age"]) == (
        True,
        "/",
        "Lax",
        DAY,
    )
    assert cookie["secure"]


def test_cookies_travel_over_plain_http_where_the_server_is_told_so(stranger, ana, settings):
    settings.SESSION_COOKIE_SECURE = False

    assert not stranger.post("/auth/login", {**LOGIN, "mode": "session"}).cookies[SESSION_COOKIE]["secure"]


def test_session_remembers_the_device(stranger, ana):
    stranger.post("/auth/login", LOGIN, HTTP_USER_AGENT="a browser", REMOTE_ADDR="192.0.2.3")

    assert (Session.objects.get().user_agent, Session.objects.get().address) == ("a browser", "192.0.2.3")


@pytest.mark.parametrize(
    "change",
    [
        {"password": "wrong"},
        {"email": "nobody"},
        {"email": "a\0b"},
        {"password": "a\0b"},
        {"email": "x" * 900},
    ],
)
def test_wrong_credentials(stranger, ana, change):
    answer = stranger.post("/auth/login", LOGIN | change)

    assert (answer.status_code, code(answer)) == (401, "INVALID_CREDENTIALS")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"email": "ana"},
        {"password": PASSWORD},
        {**LOGIN, "email": ""},
        {**LOGIN, "email": 7},
        {**LOGIN, "email": None},
        {**LOGIN, "email": ["ana"]},
        {**LOGIN, "password": {"a": 1}},
        {**LOGIN, "password": True},
        {**LOGIN, "mode": "paper"},
        {**LOGIN, "mode": 1},
        {**LOGIN, "mode": ["json"]},
    ],
)
def test_malformed_sign_in(stranger, ana, body):
    answer = stranger.post("/auth/login", body)

    assert (answer.status_code, code(answer)) == (400, "INVALID_PAYLOAD")
    assert extensions(answer)["reason"]
    assert not Session.objects.exists()


def test_suspended_user(stranger, ana):
    services.deactivate(user=ana)

    answer = stranger.post("/auth/login", LOGIN)

    assert (answer.status_code, code(answer)) == (401, "USER_SUSPENDED")


def test_one_time_password_is_passed_over_since_nobody_has_one(stranger, ana):
    assert stranger.post("/auth/login", {**LOGIN, "otp": "123456"}).status_code == 200


def test_guesses_have_the_limits_of_every_sign_in(stranger, ana):
    answers = [stranger.post("/auth/login", {**LOGIN, "password": "wrong"}) for _ in range(11)]

    assert {code(answer) for answer in answers[:10]} == {"INVALID_CREDENTIALS"}
    assert (answers[10].status_code, code(answers[10])) == (429, "REQUESTS_EXCEEDED")
    assert int(answers[10].headers["Retry-After"]) >= 1
    assert extensions(answers[10])["retry_after_ms"] > 0
    # They are the same guesses: a dialect does not give others.
    assert stranger.post("/api/token/", {"username": "ana", "password": "wrong"}).status_code == 429


def test_attempt_is_counted_once_and_one_that_is_none_as_any_request(stranger, ana, settings):
    settings.RELAIS = {**settings.RELAIS, "limit_rest": "1/min:2"}

    guesses = [stranger.post("/auth/login", {**LOGIN, "password": "wrong"}) for _ in range(4)]
    assert {code(answer) for answer in guesses} == {"INVALID_CREDENTIALS"}
    answers = [stranger.post("/auth/login", {"email": 7}) for _ in range(3)]
    assert [code(answer) for answer in answers] == ["INVALID_PAYLOAD"] * 2 + ["REQUESTS_EXCEEDED"]


def test_old_token_of_a_client_that_signs_in_is_ignored(stranger, ana):
    stranger.credentials(HTTP_AUTHORIZATION="Bearer a.b.c")
    stranger.cookies[SESSION_COOKIE] = "a.b.c"

    assert stranger.post("/auth/login?access_token=x", LOGIN).status_code == 200


# ── refreshing ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mode", [{}, {"mode": "json"}])
def test_refresh_with_the_token_in_the_body(stranger, ana, mode):
    pair = tokens.issue(ana)

    data = stranger.post("/auth/refresh", {"refresh_token": pair["refresh"], **mode}).json()["data"]

    assert data.keys() == {"expires", "refresh_token", "access_token"}
    assert data["refresh_token"] != pair["refresh"]
    assert identify(data["access_token"]).user == ana
    assert data["expires"] == HOUR * 1000


@pytest.mark.parametrize("body", [{}, {"mode": "cookie"}, None])
def test_refresh_with_the_cookie(page, ana, body):
    browser = page("cookie")
    before = browser.cookies[REFRESH_COOKIE].value

    answer = browser.post("/auth/refresh", body)

    assert answer.json()["data"].keys() == {"expires", "access_token"}
    assert browser.cookies[REFRESH_COOKIE].value != before
    assert answer.cookies[REFRESH_COOKIE]["max-age"] == WEEK


def test_refresh_of_a_session(page, ana):
    browser = page("session")
    before = browser.cookies[SESSION_COOKIE].value

    answer = browser.post("/auth/refresh", {"mode": "session"})

    assert answer.json() == {"data": {"expires": DAY * 1000}}
    assert browser.cookies[SESSION_COOKIE].value != before
    assert identify(before).user == ana  # for the requests that are under way
    BlacklistedToken.objects.update(blacklisted_at=timezone.now() - REUSE_GRACE - dt.timedelta(seconds=1))
    assert browser.get("/users/me").status_code == 200
    browser.cookies[SESSION_COOKIE] = before
    assert code(browser.get("/users/me")) == "INVALID_TOKEN"


def test_answer_to_a_refresh_that_was_lost_is_given_again(page, ana):
    browser = page("session")
    before = browser.cookies[SESSION_COOKIE].value
    browser.post("/auth/refresh", {"mode": "session"})
    first = browser.cookies[SESSION_COOKIE].value
    browser.cookies[SESSION_COOKIE] = before

    browser.post("/auth/refresh", {"mode": "session"})

    assert browser.cookies[SESSION_COOKIE].value == first


def test_session_token_that_is_given_again_is_no_younger(page, ana):
    browser = page("session")
    before = browser.cookies[SESSION_COOKIE].value
    browser.post("/auth/refresh", {"mode": "session"})
    BlacklistedToken.objects.update(blacklisted_at=timezone.now() - dt.timedelta(seconds=40))
    browser.cookies[SESSION_COOKIE] = before

    answer = browser.post("/auth/refresh", {"mode": "session"})

    assert DAY * 1000 - 60_000 < answer.json()["data"]["expires"] < DAY * 1000 - 35_000


def test_used_refresh_token_is_void(stranger, ana):
    pair = tokens.issue(ana)
    stranger.post("/auth/refresh", {"refresh_token": pair["refresh"]})
    BlacklistedToken.objects.update(blacklisted_at=timezone.now() - REUSE_GRACE - dt.timedelta(seconds=1))

    answer = stranger.post("/auth/refresh", {"refresh_token": pair["refresh"]})

    assert (answer.status_code, code(answer)) == (401, "INVALID_CREDENTIALS")


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout"])
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"mode": "json"},
        {"mode": "cookie"},
        {"mode": "session"},
        {"mode": "cookie", "refresh_token": "x"},
        {"mode": "paper", "refresh_token": "x"},
        {"refresh_token": 7},
        {"refresh_token": ""},
    ],
)
def test_request_without_a_token_is_malformed(stranger, db, path, body):
    answer = stranger.post(path, body)

    assert (answer.status_code, code(answer)) == (400, "INVALID_PAYLOAD")


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "x" * 9000, "\0"])
def test_token_that_refreshes_nothing(stranger, ana, token):
    answer = stranger.post("/auth/refresh", {"refresh_token": token})

    assert (answer.status_code, code(answer)) == (401, "INVALID_CREDENTIALS")


def test_access_token_refreshes_nothing(stranger, ana):
    assert code(stranger.post("/auth/refresh", {"refresh_token": tokens.access_token(ana)})) == (
        "INVALID_CREDENTIALS"
    )


# ── signing out ──────────────────────────────────────────────────────────────────────────────────────────


def test_signing_out_ends_the_session_and_its_access_tokens(stranger, ana):
    pair = tokens.issue(ana)
    other = tokens.issue(ana)

    assert is_nothing(stranger.post("/auth/logout", {"refresh_token": pair["refresh"], "mode": "json"}))

    stranger.credentials(HTTP_AUTHORIZATION=f"Bearer {pair['access']}")
    assert code(stranger.get("/users/me")) == "INVALID_CREDENTIALS"
    assert identify(other["access"]).user == ana


@pytest.mark.parametrize(("mode", "name"), [("cookie", REFRESH_COOKIE), ("session", SESSION_COOKIE)])
def test_signing_out_with_a_cookie_takes_it_away(page, ana, mode, name):
    browser = page(mode)

    answer = browser.post("/auth/logout", {"mode": mode})

    assert is_nothing(answer)
    assert (answer.cookies[name].value, answer.cookies[name]["max-age"], answer.cookies[name]["path"]) == (
        "",
        0,
        "/",
    )
    assert not Session.objects.filter(revoked_at=None).exists()


@pytest.mark.parametrize(("mode", "name"), [("cookie", REFRESH_COOKIE), ("session", SESSION_COOKIE)])
def test_dead_cookie_can_be_taken_away(stranger, ana, mode, name):
    stranger.cookies[name] = "a.b.c"

    answer = stranger.post("/auth/logout", {"mode": mode})

    assert is_nothing(answer)
    assert answer.cookies[name]["max-age"] == 0


def test_sockets_of_the_session_are_told(transactional_db, stranger, ana, published):
    pair = tokens.issue(ana)
    stranger.post("/auth/logout", {"refresh_token": pair["refresh"]})

    assert [(event["type"], event["session_id"]) for _, event in published] == [
        ("session_revoked", str(Session.objects.get().pk))
    ]


# ── the rest ─────────────────────────────────────────────────────────────────────────────────────────────


def test_there_are_no_other_providers(stranger, db):
    assert stranger.get("/auth").json() == {"data": [], "disableDefault": False}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/auth/password/request", {"email": "ana@example.com", "reset_url": "https://app.example"}),
        ("/auth/password/reset", {"token": "a.b.c", "password": "a-new-password-1"}),
    ],
)
def test_password_by_mail_is_answered_and_changes_nothing(stranger, ana, path, body):
    assert is_nothing(stranger.post(path, body))
    assert code(stranger.post(path, {})) == "INVALID_PAYLOAD"

    ana.refresh_from_db()
    assert ana.check_password(PASSWORD)
