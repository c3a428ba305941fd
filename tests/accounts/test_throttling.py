"""LIMIT_LOGINS and the other limits of REST: what counts together, and the answer past a limit."""

import pytest
from django.conf import settings as django_settings

from accounts import services, throttling, tokens
from accounts.models import User
from realtime.http import metrics


@pytest.fixture
def limit(settings):
    def set_limits(**rates: str) -> None:
        settings.RELAIS = {**django_settings.RELAIS, **rates}

    return set_limits


def sign_in(stranger, name="ana", address="10.0.0.1", password="wrong"):
    return stranger.post(
        "/api/token/", {"username": name, "password": password}, REMOTE_ADDR=address
    ).status_code


def assert_limited(response):
    body = response.json()
    assert (response.status_code, body["code"], body["retryable"]) == (429, "rate_limited", True)
    assert 0 < body["retry_after_ms"] <= 60_000
    assert int(response.headers["Retry-After"]) == -(-body["retry_after_ms"] // 1000)


def test_guessing_a_password_is_slowed_down(stranger, ana, limit):
    limit(limit_logins="2/min:2")
    assert [sign_in(stranger), sign_in(stranger)] == [401, 401]

    # The right password is refused too: the answer to the third guess would tell.
    response = stranger.post(
        "/api/token/", {"username": "ana", "password": "demo-password"}, REMOTE_ADDR="10.0.0.1"
    )

    assert_limited(response)


@pytest.mark.parametrize("name", ["ANA", " ana ", "ａｎａ"])
def test_another_spelling_is_the_same_bucket(stranger, ana, limit, name):
    limit(limit_logins="1/min:1")
    sign_in(stranger)

    assert sign_in(stranger, name) == 429


@pytest.fixture
def ana_with_email(ana):
    User.objects.filter(pk=ana.pk).update(email="ana@example.com")
    return ana


def test_guesses_by_username_and_by_email_count_together(stranger, ana_with_email, limit):
    limit(limit_logins="2/min:2")
    assert [sign_in(stranger), sign_in(stranger, "ana@example.com")] == [401, 401]

    # All spellings count together; the first of them has a Cyrillic a.
    for name in ("аna", "ANA", "Ana@Example.com", "ａｎａ", "аna@example.com"):
        assert sign_in(stranger, name) == 429


def test_guesses_at_an_unknown_name_count_together_however_it_is_written(stranger, db, limit):
    limit(limit_logins="1/min:1")
    assert sign_in(stranger, "scope") == 401

    for name in ("SCOPE", "ѕсоре", " scope", "ｓｃｏｐｅ"):
        assert sign_in(stranger, name) == 429


def test_old_password_and_sign_in_are_guesses_at_one_account(stranger, signed_in, ana_with_email, limit):
    limit(limit_logins="1/min:1")
    assert sign_in(stranger, "ana@example.com", address="127.0.0.1") == 401

    body = {"old_password": "wrong", "new_password": "tr1cky-enough"}
    assert_limited(signed_in(ana_with_email).post("/api/auth/password/", body))


def test_old_password_is_guessed_in_the_admin_under_the_same_limit(client, ana, limit):
    limit(limit_logins="1/min:1")
    ana.is_staff = True
    ana.save()
    client.force_login(ana)
    fields = {"old_password": "wrong", "new_password1": "tr1cky-enough", "new_password2": "tr1cky-enough"}
    assert client.post("/admin/password_change/", fields).status_code == 200

    answer = client.post("/admin/password_change/", fields)

    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1
    assert client.get("/admin/password_change/").status_code == 200


# ── guesses at one account from many addresses ───────────────────────────────────────────────────────────


def guesses(stranger, count, name="ana", first=1):
    return [sign_in(stranger, name, address=f"10.0.1.{first + n}") for n in range(count)]


def test_account_is_guessed_at_from_many_addresses_so_often(stranger, ana_with_email, bruno, limit):
    limit(limit_logins_per_account="1/h:5")

    assert guesses(stranger, 3) + guesses(stranger, 4, "ana@example.com", first=50) == [401] * 5 + [429] * 2
    assert guesses(stranger, 1, "bruno", first=50) == [401]


def test_unknown_name_is_no_different(stranger, db, limit):
    limit(limit_logins_per_account="1/h:5")

    assert guesses(stranger, 7, "nobody") == [401] * 5 + [429] * 2


@pytest.mark.parametrize(
    ("home", "today"), [("10.0.0.9", "10.0.0.9"), ("2001:db8:1:2::1", "2001:db8:1:2:ffff::7")]
)
def test_guesses_elsewhere_do_not_lock_the_owner_out_where_they_were_before(
    stranger, ana, limit, home, today
):
    limit(limit_logins_per_account="1/h:5")
    assert sign_in(stranger, address=home, password="demo-password") == 200
    guesses(stranger, 20)

    assert sign_in(stranger, address=today, password="demo-password") == 200
    # The addresses of another user's sessions do not count as hers.
    assert sign_in(stranger, "bruno", address="10.0.1.200") == 401
    assert sign_in(stranger, address="10.0.1.200", password="demo-password") == 429


def test_owner_who_signs_in_uses_nothing_up(stranger, ana, limit):
    limit(limit_logins_per_account="1/h:1", limit_logins="off")
    assert {sign_in(stranger, address="10.0.0.9", password="demo-password") for _ in range(5)} == {200}

    assert guesses(stranger, 1) == [429]  # before, nobody had signed in from there


def test_known_and_unknown_names_are_looked_up_with_as_many_queries(ana, django_assert_num_queries, rf):
    for name in ("ana", "nobody"):
        with django_assert_num_queries(2):
            throttling.count_sign_in(rf.post("/", REMOTE_ADDR="10.0.0.1"), name)


def test_another_name_or_address_is_another_bucket(stranger, ana, bruno, limit):
    limit(limit_logins="1/min:1")
    sign_in(stranger)

    assert sign_in(stranger, "bruno") == 401
    assert sign_in(stranger, address="10.0.0.2") == 401
    assert sign_in(stranger) == 429


def test_addresses_of_one_subscriber_share_their_buckets(stranger, ana, limit):
    limit(limit_logins="1/min:1", limit_rest="1/min:1", limit_registrations="1/min:1")

    def asks(address):
        registration = {"username": "d", "email": "", "password": "short"}
        return [
            sign_in(stranger, address=address),
            stranger.get("/api/me/", REMOTE_ADDR=address).status_code,
            stranger.post("/api/auth/register/", registration, REMOTE_ADDR=address).status_code,
        ]

    assert asks("2001:db8:1:2::1") == [401, 401, 400]
    assert asks("2001:db8:1:2:ffff::7") == [429, 429, 429]
    assert asks("2001:db8:1:3::1") == [401, 401, 400]


def test_forged_forwarding_is_no_other_address(stranger, ana, limit):
    limit(limit_logins="1/min:1", trusted_proxies=())
    sign_in(stranger)

    response = stranger.post(
        "/api/token/",
        {"username": "ana", "password": "x"},
        REMOTE_ADDR="10.0.0.1",
        HTTP_X_FORWARDED_FOR="198.51.100.1",
    )

    assert response.status_code == 429


@pytest.mark.parametrize("body", ["{}", '{"username": ["ana"]}', '{"username": null}'])
def test_body_without_a_name_has_a_bucket_too(stranger, db, limit, body):
    limit(limit_logins="1/min:1")
    statuses = [
        stranger.post("/api/token/", body, content_type="application/json").status_code for _ in range(2)
    ]

    assert statuses == [400, 429]


def test_guessing_the_old_password_is_slowed_down(signed_in, ana, limit):
    limit(limit_logins="1/min:1")
    client = signed_in(ana)
    body = {"old_password": "wrong", "new_password": "tr1cky-enough"}
    assert client.post("/api/auth/password/", body).status_code == 400

    assert_limited(client.post("/api/auth/password/", body))


def test_registrations_are_limited_per_address(stranger, db, limit):
    limit(limit_registrations="1/min:1")

    def register(name, address):
        fields = {"username": name, "email": "", "password": "tr1cky-enough"}
        return stranger.post("/api/auth/register/", fields, REMOTE_ADDR=address)

    assert register("dora", "10.0.0.1").status_code == 201
    assert register("emil", "10.0.0.2").status_code == 201
    assert_limited(register("fritz", "10.0.0.1"))


def test_asking_whether_an_email_is_taken_is_limited_per_address(signed_in, stranger, ana, bruno, limit):
    User.objects.filter(pk=bruno.pk).update(email="bruno@example.com")
    limit(limit_registrations="1/min:2")
    client = signed_in(ana)

    def wants(email, **others):
        return client.patch("/api/me/", {"email": email, **others})

    assert wants("bruno@example.com").status_code == 400
    assert wants("ana@example.com").status_code == 200
    assert_limited(wants("carla@example.com"))
    registration = {"username": "dora", "email": "dora@example.com", "password": "tr1cky-enough"}
    assert stranger.post("/api/auth/register/", registration).status_code == 429
    # Requests that ask about nobody go on.
    assert wants("ana@example.com", first_name="Ana").status_code == 200
    assert client.patch("/api/me/", {"first_name": "A."}).status_code == 200
    assert wants("").status_code == 200


def test_requests_are_limited_per_user(signed_in, stranger, ana, bruno, limit):
    limit(limit_rest="1/min:1")
    assert signed_in(ana).get("/api/me/").status_code == 200

    assert_limited(signed_in(ana).get("/api/me/"))  # her other session shares the bucket
    assert signed_in(bruno).get("/api/me/").status_code == 200
    refresh = {"refresh": tokens.issue(ana)["refresh"]}
    assert stranger.post("/api/token/refresh/", refresh).status_code == 200
    # The caller is not signed in: the address counts.
    assert_limited(stranger.post("/api/token/refresh/", refresh))


def test_address_with_ever_new_names_is_slowed_down(stranger, db, limit, monkeypatch):
    limit(limit_logins_per_address="1/min:3")
    checked = []
    monkeypatch.setattr(services, "authenticate", lambda **asked: checked.append(asked["username"]))

    statuses = [sign_in(stranger, f"nobody-{number}") for number in range(5)]

    assert statuses == [401, 401, 401, 429, 429]
    assert len(checked) == 3  # refused requests hash nothing
    assert sign_in(stranger, "nobody", address="10.0.0.2") == 401


def test_sign_in_refused_by_name_takes_nothing_from_others_at_its_address(stranger, ana, bruno, limit):
    limit(limit_logins="1/min:1", limit_logins_per_address="1/min:2")
    assert [sign_in(stranger) for _ in range(10)] == [401] + [429] * 9

    assert sign_in(stranger, "bruno", password="demo-password") == 200


def test_office_behind_one_address_signs_in(stranger, db):
    assert {sign_in(stranger, f"colleague-{number}") for number in range(60)} == {401}


@pytest.mark.parametrize(
    ("path", "headers", "refused_with"),
    [
        ("/api/me/", {}, (401, "unauthenticated")),
        ("/api/me/", {"HTTP_AUTHORIZATION": "Bearer guessed"}, (401, "unauthenticated")),
        ("/api/notifications/", {"HTTP_X_API_KEY": "guessed"}, (401, "unauthenticated")),
    ],
)
def test_stranger_who_is_refused_is_counted(stranger, db, limit, path, headers, refused_with):
    limit(limit_rest="1/min:2")

    def asks(address="10.0.0.1"):
        answer = stranger.post(path, {}, REMOTE_ADDR=address, **headers)
        return answer, (answer.status_code, answer.json()["code"])

    assert [asks()[1] for _ in range(2)] == [refused_with] * 2
    assert_limited(asks()[0])
    assert asks("10.0.0.2")[1] == refused_with


def test_disabled_user_who_is_refused_is_counted(signed_in, ana, limit):
    limit(limit_rest="1/min:1")
    client = signed_in(ana)
    User.objects.update(is_active=False)
    assert client.get("/api/me/").status_code == 403

    assert_limited(client.get("/api/me/"))


def test_user_who_may_not_is_counted_too(signed_in, ana, limit):
    limit(limit_rest="1/min:1")
    client = signed_in(ana)
    assert client.post("/api/notifications/", {}).status_code == 403  # this path is for services only

    assert_limited(client.post("/api/notifications/", {}))


def test_refusal_is_counted_once(stranger, db, limit):
    limit(limit_rest="1/min:3")
    refresh = {"refresh": "guessed"}

    assert [stranger.post("/api/token/refresh/", refresh).status_code for _ in range(4)] == [401] * 3 + [429]


def refusals():
    return {labels[0]: count for labels, [count] in metrics.REQUESTS_REFUSED.series().items()}


def test_refusals_are_counted_by_their_limit(stranger, db, limit):
    before = refusals()
    limit(
        limit_rest="1/min:1",
        limit_logins="1/min:1",
        limit_logins_per_address="1/min:2",
        limit_registrations="1/min:1",
    )

    for name in ("ana", "ana", "bruno", "clara", "dora"):
        sign_in(stranger, name)
    for _ in range(4):
        stranger.get("/api/me/")
    for _ in range(5):
        stranger.post("/api/auth/register/", {})

    rise = {reason: count - before[reason] for reason, count in refusals().items() if count > before[reason]}
    assert rise == {"logins": 1, "logins_per_address": 2, "rest": 3, "registrations": 4}


def test_limits_can_be_switched_off(stranger, ana, limit):
    limit(limit_logins="off", limit_logins_per_address="off")

    assert {sign_in(stranger) for _ in range(70)} == {401}


def test_admin_has_the_same_limits_before_anything_is_hashed(client, ana, limit):
    limit(limit_logins="1/min:1")
    ana.is_staff = True
    ana.save()

    def answer(password: str) -> tuple[int, str]:
        page = client.post("/admin/login/", {"username": "ana", "password": password})
        return page.status_code, page.content.decode()

    assert "slow down" not in answer("wrong")[1]
    status, page = answer("demo-password")
    assert (status, "sessionid" in client.cookies) == (200, False)
    assert "Too many requests; slow down." in page
