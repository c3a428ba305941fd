"""Redaction: every form of a secret is removed, and a line costs no more than its length."""

import time

import pytest

from realtime.process import redaction
from realtime.process.redaction import redact

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoxfQ.c2lnbmF0dXJl-_x"
CANARY = "canary-7f3a"


@pytest.mark.parametrize(
    "text",
    [
        "/ws/chat/1/?token={}",
        "/ws/chat/1/?since=4&ticket={}&v=1",
        "/?access_token={}",
        "/realtime/v1/websocket?apikey={}&vsn=1.0.0",
        "POST refresh={}",
        "/login/?next=%2Fws%2F%3Ftoken%3D{}%26v%3D1",
        "TOKEN={}",
        "paſſword={}",
        "to\u212aen={}",
        "/ws/chat/1/?%74icket={}&v=1",
        "/ws/chat/1/?v=1;%54%4fken={}",
        "/login/?next=%252Fws%252F%253Fpass%2577ord%253D{}%2526v%253D1",
        "/api/me/?token%5B%5D={}",
        "/api/me/?ticket+={}",
        "Authorization: Bearer {}",
        "(b'authorization', b'bearer {}')",
        "subprotocols: relais.v1, bearer.{}",
        '{{"username": "ana", "password": "{}"}}',
        "{{'refresh': '{}'}}",
        '"{{\\"access_token\\": \\"{}\\"}}"',
        "could not connect to redis://:{}@redis:6379/0",
        "postgres://relais:{}@db/relais",
    ],
)
def test_secret_is_taken_out_and_the_rest_stays(text: str) -> None:
    line = "before " + text.format(CANARY) + " after"

    clean = redact(line)

    assert CANARY not in clean
    assert "[redacted]" in clean
    assert clean.startswith("before ")
    assert clean.endswith(" after")


def test_token_without_a_name_is_taken_out() -> None:
    assert redact(f"decoded {JWT} wrongly") == "decoded [redacted] wrongly"


@pytest.mark.parametrize(
    "line",
    [
        '127.0.0.1:1 - "WebSocket /ws/chat/12/?since=981&v=1" [accepted]',
        "GET /api/conversations/?before=3&limit=50",
        "Listening on TCP address 127.0.0.1:8000",
        "the token of user 7 has expired",
        "redis://127.0.0.1:6379/0 answers ana@example.com",
    ],
)
def test_line_without_a_secret_stays(line: str) -> None:
    assert redact(line) == line


@pytest.mark.parametrize(
    "piece",
    [
        "token",
        "token[",
        "token%20",
        "refresh_",
        '"token" ',
        "bearer ",
        "bearer.",
        "eyJ",
        "-eyJ",
        "-eyJabcdef.",
        "://a:",
        "a:",
        "\\",
        "[",
        " ",
        "%25",
        "%2574",
    ],
)
def test_long_line_costs_no_more_than_its_length(piece: str) -> None:
    """A second for 16 KB would be half a minute for what a client may send, and nobody else runs
    meanwhile."""

    def seconds(text: str) -> float:
        began = time.thread_time()
        redact(text)
        return time.thread_time() - began

    # The piece stands alone, and behind a beginning that may match or not.
    hostile = max(
        seconds((first + piece * 16_000)[:16_000]) for first in ("", "token", '"token"', "%", "://")
    )

    # The line it is compared with is searched by every pattern, because it is not ASCII.
    assert hostile < 100 * max(seconds("It is finé. " * 1_334) for _ in range(3))


def test_line_without_a_secret_is_only_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two lines are logged for each socket that opens: no pattern searches them."""
    gone_through: list[str] = []

    class Counted:
        def sub(self, _replacement: str, text: str) -> str:
            gone_through.append(text)
            return text

    counted = [(words, Counted(), replacement) for words, _, replacement in redaction._SECRETS]
    monkeypatch.setattr(redaction, "_SECRETS", counted)
    line = '{"event": "127.0.0.1:48854 - \\"WebSocket /ws/chat/1/?v=1\\" [accepted]", "user_id": 299}'

    redact(line)
    assert gone_through == []
    redact(line + "é")
    assert len(gone_through) == len(counted)
