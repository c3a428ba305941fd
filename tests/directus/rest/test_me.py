"""`/users/me`: what users are shown of themselves, and what they change."""

import datetime as dt

import pytest

from accounts import services, tokens
from accounts.models import Session, User
from accounts.tokens import identify
from directus import static_tokens
from directus.credentials import SESSION_COOKIE
from tests.directus.answers import code, extensions
from tests.factories import PASSWORD, make_user

STATIC = "a-static-token-of-ana"
NEW = "another-password-9"


@pytest.fixture
def client(signed_in, ana):
    return signed_in(ana)


def ana_of_the_database() -> User:
    return User.objects.get(username="ana")


# ── who it is ────────────────────────────────────────────────────────────────────────────────────────────


def test_all_columns_of_a_user(client, ana):
    Session.objects.update(last_used_at=dt.datetime(2026, 12, 1, 10, 30, 0, 123456, tzinfo=dt.UTC))

    answer = client.get("/users/me")

    assert answer.status_code == 200
    assert answer.json() == {
        "data": {
            "id": ana.pk,
            "username": "ana",
            "first_name": None,
            "last_name": None,
            "email": None,
            "password": "**********",
            "avatar": None,
            "language": None,
            "status": "active",
            "role": None,
            "token": None,
            "last_access": "2026-12-01T10:30:00.123Z",
        }
    }


@pytest.mark.parametrize(
    ("query", "columns"),
    [
        ("fields=*", 12),
        ("fields=*.*", 12),
        ("fields=id", ["id"]),
        ("fields=email,id", ["email", "id"]),
        ("fields=id&fields=email", ["id", "email"]),
        ("fields[]=id&fields[]=email", ["id", "email"]),
        ("fields=id,role.name,avatar.id", ["id", "role", "avatar"]),
        ("fields=", 12),
        ("limit=1&meta=*&unknown=1", 12),
    ],
)
def test_fields_choose_the_columns(client, query, columns):
    shown = client.get(f"/users/me?{query}").json()["data"]

    assert (len(shown) if isinstance(columns, int) else list(shown)) == columns


@pytest.mark.parametrize("fields", ["secret", "is_superuser", "email.id", "id,nothing", "sessions.id"])
def test_unknown_field_is_forbidden(client, fields):
    answer = client.get(f"/users/me?fields={fields}")

    assert (answer.status_code, code(answer)) == (403, "FORBIDDEN")


def test_anonymous_is_nobody(stranger, db):
    for answer in (stranger.get("/users/me"), stranger.patch("/users/me", {"first_name": "A"})):
        assert (answer.status_code, code(answer)) == (401, "INVALID_CREDENTIALS")


# ── which token ──────────────────────────────────────────────────────────────────────────────────────────


def test_every_kind_of_token_in_every_place(stranger, ana):
    static_tokens.set_token(user=ana, token=STATIC)
    session = str(tokens.session_token(Session.objects.create(user=ana)))
    for token in (tokens.access_token(ana), session, STATIC):
        for answer in (
            stranger.get("/users/me", HTTP_AUTHORIZATION=f"Bearer {token}"),
            stranger.get("/users/me", HTTP_AUTHORIZATION=f"bearer {token}"),
            stranger.get(f"/users/me?access_token={token}"),
        ):
            assert answer.json()["data"]["id"] == ana.pk
    stranger.cookies[SESSION_COOKIE] = session
    assert stranger.get("/users/me").json()["data"]["id"] == ana.pk


@pytest.mark.parametrize(
    ("token", "status", "expected"),
    [("nobody-has-this-one", 401, "INVALID_CREDENTIALS"), ("a.b.c", 403, "INVALID_TOKEN")],
)
def test_wrong_token_in_every_place(stranger, db, token, status, expected):
    answers = [
        stranger.get("/users/me", HTTP_AUTHORIZATION=f"Bearer {token}"),
        stranger.get(f"/users/me?access_token={token}"),
        stranger.get("/server/info", HTTP_AUTHORIZATION=f"Bearer {token}"),
    ]
    stranger.cookies[SESSION_COOKIE] = token
    answers.append(stranger.get("/users/me"))

    assert [(answer.status_code, code(answer)) for answer in answers] == [(status, expected)] * 4


def test_expired_token(stranger, ana):
    token = tokens.AccessToken()
    token["user_id"] = str(ana.pk)
    token.set_exp(from_time=token.current_time - dt.timedelta(days=1))

    answer = stranger.get("/users/me", HTTP_AUTHORIZATION=f"Bearer {token}")

    assert (answer.status_code, code(answer)) == (401, "TOKEN_EXPIRED")


def test_token_of_a_suspended_user(client, ana):
    services.deactivate(user=ana)

    answer = client.get("/users/me")

    assert (answer.status_code, code(answer)) == (401, "USER_SUSPENDED")


@pytest.mark.parametrize("query", ["access_token=x&access_token=x", "access_token=x"])
def test_two_tokens_are_one_too_many(client, query):
    answer = client.get(f"/users/me?{query}")

    assert (answer.status_code, code(answer)) == (400, "INVALID_PAYLOAD")


def test_token_that_is_named_wins_over_the_cookie(client, ana, bruno):
    client.cookies[SESSION_COOKIE] = str(tokens.session_token(Session.objects.create(user=bruno)))

    assert client.get("/users/me").json()["data"]["id"] == ana.pk


@pytest.mark.parametrize("header", ["Basic YTpi", "Bearer", "Bearer ", "nonsense", ""])
def test_header_without_a_token_is_passed_over(stranger, ana, header):
    """A proxy in front may ask for a password of its own, and pass the header on."""
    stranger.cookies[SESSION_COOKIE] = str(tokens.session_token(Session.objects.create(user=ana)))

    assert stranger.get("/users/me", HTTP_AUTHORIZATION=header).json()["data"]["id"] == ana.pk


def test_bad_tokens_are_counted_for_their_address(stranger, db, settings):
    settings.RELAIS = {**settings.RELAIS, "limit_rest": "1/min:3"}
    answers = [stranger.get("/users/me?access_token=a.b.c") for _ in range(4)]

    assert [code(answer) for answer in answers] == ["INVALID_TOKEN"] * 3 + ["REQUESTS_EXCEEDED"]


def test_requests_of_a_user_are_counted(client, settings):
    settings.RELAIS = {**settings.RELAIS, "limit_rest": "1/min:3"}
    answers = [client.get("/users/me") for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert code(answers[3]) == "REQUESTS_EXCEEDED"


# ── cookies and pages of others ──────────────────────────────────────────────────────────────────────────


@pytest.fixture
def browser(stranger, ana):
    stranger.cookies[SESSION_COOKIE] = str(tokens.session_token(Session.objects.create(user=ana)))
    return stranger


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        ("http://testserver", 200),
        ("https://testserver", 200),
        ("https://app.example.com", 200),
        ("https://app.example.com:443", 200),
        ("https://evil.example", 403),
        ("http://testserver.evil.example", 403),
        ("http://testserver:8080", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_page_writes_with_a_cookie_only_from_an_allowed_origin(browser, settings, origin, status):
    settings.RELAIS = {**settings.RELAIS, "allowed_origins": ("https://app.example.com",)}
    headers = {} if origin is None else {"HTTP_ORIGIN": origin}

    answer = browser.patch("/users/me", {"first_name": "Ana"}, **headers)

    assert answer.status_code == status
    assert ana_of_the_database().first_name == ("Ana" if status == 200 else "")
    if status == 403:
        assert code(answer) == "FORBIDDEN"


def test_wildcard_lets_nobody_write_with_a_cookie(browser, settings):
    settings.RELAIS = {**settings.RELAIS, "allowed_origins": ("*",)}

    assert browser.patch("/users/me", {}, HTTP_ORIGIN="https://evil.example").status_code == 403


def test_plain_page_does_not_write_to_a_server_behind_tls(browser):
    assert browser.patch("/users/me", {}, HTTP_ORIGIN="http://testserver", secure=True).status_code == 403
    assert browser.patch("/users/me", {}, HTTP_ORIGIN="https://testserver", secure=True).status_code == 200


def test_reading_with_a_cookie_needs_no_origin(browser):
    assert browser.get("/users/me", HTTP_ORIGIN="https://evil.example").status_code == 200


def test_token_in_the_header_writes_from_anywhere(client):
    """No page has it unless it was given to it."""
    assert client.patch("/users/me", {}, HTTP_ORIGIN="https://evil.example").status_code == 200


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout"])
def test_foreign_page_neither_refreshes_nor_signs_out(browser, path):
    answer = browser.post(path, {"mode": "session"}, HTTP_ORIGIN="https://evil.example")

    assert (answer.status_code, code(answer)) == (403, "FORBIDDEN")
    assert Session.objects.get().revoked_at is None


def test_foreign_page_signs_nobody_in(stranger, ana):
    body = {"email": "ana", "password": PASSWORD, "mode": "session"}
    answer = stranger.post("/auth/login", body, HTTP_ORIGIN="https://evil.example")

    assert (answer.status_code, code(answer)) == (403, "FORBIDDEN")
    assert not answer.cookies


# ── changes ──────────────────────────────────────────────────────────────────────────────────────────────


def test_profile(client):
    answer = client.patch(
        "/users/me?fields=first_name,last_name,email,language",
        {"first_name": "Ana", "last_name": "Lima", "email": "ana@example.com", "language": "fr-FR"},
    )

    assert answer.json() == {
        "data": {"first_name": "Ana", "last_name": "Lima", "email": "ana@example.com", "language": "fr"}
    }
    assert client.get("/users/me?fields=email").json()["data"] == {"email": "ana@example.com"}


def test_null_empties_a_column(client, ana):
    services.update_profile(user=ana, first_name="Ana", email="ana@example.com", language="fr")

    answer = client.patch("/users/me", {"first_name": None, "email": None, "language": None})

    data = answer.json()["data"]
    assert (data["first_name"], data["email"], data["language"]) == (None, None, None)


def test_everything_that_was_shown_can_be_sent_back(client, ana):
    static_tokens.set_token(user=ana, token=STATIC)
    shown = client.get("/users/me").json()["data"]

    answer = client.patch("/users/me", {**shown, "first_name": "Ana"})

    assert answer.json()["data"] == {**shown, "first_name": "Ana"}
    assert static_tokens.identify(STATIC).user == ana
    assert ana_of_the_database().check_password(PASSWORD)


def test_stars_are_no_secret(client, ana):
    """They stand for one that there is, and for one that was removed since they were shown."""
    User.objects.filter(pk=ana.pk).update(password="!")

    answer = client.patch("/users/me", {"token": "**********", "password": "**********"})

    assert (answer.status_code, answer.json()["data"]["token"]) == (200, None)
    assert not ana_of_the_database().has_usable_password()


@pytest.mark.parametrize(
    "change",
    [
        {"id": 7},
        {"username": "somebody"},
        {"status": "suspended"},
        {"role": "admin"},
        {"is_superuser": True},
        {"last_access": None},
        {"nothing": 1},
    ],
)
def test_nobody_changes_what_is_not_theirs(client, change):
    answer = client.patch("/users/me", {"first_name": "Ana", **change})

    assert (answer.status_code, code(answer)) == (403, "FORBIDDEN")
    assert ana_of_the_database().first_name == ""


@pytest.mark.parametrize(
    ("change", "expected", "about"),
    [
        ({"email": "no e-mail"}, "FAILED_VALIDATION", {"field": "email", "type": "email"}),
        ({"email": 7}, "FAILED_VALIDATION", {"field": "email"}),
        (
            {"first_name": "x" * 151},
            "VALUE_TOO_LONG",
            {"collection": "directus_users", "field": "first_name"},
        ),
        ({"first_name": {"a": 1}}, "FAILED_VALIDATION", {"field": "first_name"}),
        ({"first_name": "a\0b"}, "FAILED_VALIDATION", {"field": "first_name"}),
        ({"language": "xx"}, "FAILED_VALIDATION", {"field": "language"}),
        ({"language": 7}, "FAILED_VALIDATION", {"field": "language"}),
        ({"password": "short"}, "FAILED_VALIDATION", {"field": "password", "type": "regex"}),
        ({"password": "x" * 1025}, "VALUE_TOO_LONG", {"field": "password"}),
        ({"password": None}, "INVALID_PAYLOAD", {}),
        ({"password": 7}, "INVALID_PAYLOAD", {}),
        ({"password": "a\0b-and-so-on-1"}, "FAILED_VALIDATION", {"field": "password"}),
        ({"token": "short"}, "FAILED_VALIDATION", {"field": "token"}),
        ({"token": "a\0b-and-so-on-and-so-on"}, "FAILED_VALIDATION", {"field": "token"}),
        ({"token": 7}, "INVALID_PAYLOAD", {}),
    ],
)
def test_value_that_cannot_be_stored(client, change, expected, about):
    answer = client.patch("/users/me", {"last_name": "Lima", **change})

    assert (answer.status_code, code(answer)) == (400, expected)
    assert about.items() <= extensions(answer).items()
    assert ana_of_the_database().last_name == ""


def test_every_fault_is_listed(client):
    answer = client.patch("/users/me", {"email": "no e-mail", "language": "xx"})

    assert sorted(each["extensions"]["field"] for each in answer.json()["errors"]) == ["email", "language"]


def test_e_mail_of_somebody_else(client, db):
    make_user("carla", email="carla@example.com")

    answer = client.patch("/users/me", {"first_name": "Ana", "email": "CARLA@example.com"})

    assert (answer.status_code, code(answer)) == (400, "RECORD_NOT_UNIQUE")
    assert extensions(answer) == {"collection": "directus_users", "field": "email"}
    assert ana_of_the_database().first_name == ""


def test_whether_a_name_or_a_token_is_taken_is_asked_slowly(client, settings):
    settings.RELAIS = {**settings.RELAIS, "limit_registrations": "1/min:2"}
    answers = [
        client.patch("/users/me", {"email": "a@example.com"}),
        client.patch("/users/me", {"token": STATIC}),
        client.patch("/users/me", {"email": "b@example.com"}),
        client.patch("/users/me", {"first_name": "Ana"}),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 429, 200]


def test_static_token_is_set_shown_as_stars_and_removed(client, stranger, ana):
    assert client.patch("/users/me", {"token": STATIC}).json()["data"]["token"] == "**********"
    stranger.credentials(HTTP_AUTHORIZATION=f"Bearer {STATIC}")
    assert stranger.get("/users/me?fields=id").json() == {"data": {"id": ana.pk}}

    assert client.patch("/users/me", {"token": None}).json()["data"]["token"] is None
    assert code(stranger.get("/users/me")) == "INVALID_CREDENTIALS"


def test_static_token_of_somebody_else(client, bruno):
    static_tokens.set_token(user=bruno, token=STATIC)

    answer = client.patch("/users/me", {"first_name": "Ana", "token": STATIC})

    assert (answer.status_code, code(answer)) == (400, "RECORD_NOT_UNIQUE")
    assert (ana_of_the_database().first_name, static_tokens.has_token(ana_of_the_database())) == ("", False)


def test_new_password_ends_every_other_session(client, ana):
    other = tokens.issue(ana)

    assert client.patch("/users/me", {"password": NEW}).status_code == 200

    assert ana_of_the_database().check_password(NEW)
    assert client.get("/users/me").status_code == 200
    with pytest.raises(tokens.SessionRevokedError):
        identify(other["access"])


def test_wrong_profile_keeps_the_old_password(client, bruno, ana):
    services.update_profile(user=bruno, email="bruno@example.com")

    client.patch("/users/me", {"password": NEW, "email": "bruno@example.com"})

    assert ana_of_the_database().check_password(PASSWORD)
