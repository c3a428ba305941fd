"""Who takes turns with strangers: whoever brings a credential of the dialect does not."""

import pytest

from accounts import tokens
from accounts.models import Session
from directus import static_tokens
from directus.strangers import has_credential

STATIC = "a-static-token-of-ana"


def cookie(value: str) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"x"), (b"cookie", f"a=1; directus_session_token={value}".encode())]


def bearer(value: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", f"Bearer {value}".encode())]


@pytest.fixture(autouse=True)
def _nothing_was_seen(monkeypatch):
    monkeypatch.setattr(static_tokens, "_seen", static_tokens._Seen())


def test_session_token_in_the_cookie_is_known(ana):
    assert has_credential(cookie(str(tokens.session_token(Session.objects.create(user=ana)))))


@pytest.mark.parametrize("value", ["", "a.b.c", "nonsense"])
def test_any_other_cookie_is_not(db, value):
    assert not has_credential(cookie(value))
    assert not has_credential([(b"cookie", b"sessionid=abc")])
    assert not has_credential([])


def test_static_token_is_known_once_it_was_good(ana):
    static_tokens.set_token(user=ana, token=STATIC)
    assert not has_credential(bearer(STATIC))

    static_tokens.identify(STATIC)

    assert has_credential(bearer(STATIC))
    assert not has_credential(bearer(f"{STATIC}x"))
    assert not has_credential([(b"authorization", b"Basic abc")])


def test_static_token_is_known_for_a_minute(ana, monkeypatch):
    static_tokens.set_token(user=ana, token=STATIC)
    monkeypatch.setattr(static_tokens._Seen, "SECONDS", -1.0)
    static_tokens.identify(STATIC)

    assert not has_credential(bearer(STATIC))


def test_what_was_seen_stays_within_bounds(monkeypatch):
    monkeypatch.setattr(static_tokens._Seen, "MOST", 100)
    seen = static_tokens._Seen()
    for number in range(1000):
        seen.add(f"token {number}")

    assert len(seen._until) <= 100
    assert seen.has("token 999")
    assert not seen.has("token 0")
