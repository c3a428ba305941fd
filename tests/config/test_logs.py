"""No secret reaches a log, however it came into the record; and every logger ends in our handler."""

import io
import json
import logging
import logging.config
import os
import re
import time
from collections.abc import Iterator

import pytest
import structlog

from config.logs import configuration, redact

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoxfQ.c2lnbmF0dXJl-_x"
CANARY = "canary-7f3a"


@pytest.fixture(params=[False, True], ids=["json", "readable"])
def written(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """What our handler writes, in each of the two formats, after the servers configured themselves."""
    before = {
        name: (logger.handlers[:], logger.level, logger.propagate)
        for name in ("", *configuration(readable=False, level="INFO")["loggers"])
        for logger in [logging.getLogger(name)]
    }
    was = structlog.get_config()
    stream = io.StringIO()
    logging.getLogger("uvicorn").addHandler(logging.StreamHandler(stream))
    logging.getLogger("uvicorn.access").addHandler(logging.StreamHandler(stream))
    described = configuration(readable=request.param, level="DEBUG")
    described["handlers"]["relais"]["stream"] = stream
    logging.config.dictConfig(described)
    yield stream
    for name, (handlers, level, propagate) in before.items():
        logger = logging.getLogger(name)
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logger.propagate = propagate
    structlog.configure(**was)
    structlog.contextvars.clear_contextvars()


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
def test_what_is_no_secret_stays(line: str) -> None:
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
    """A second for 16 KB is half a minute for what a client may send; nobody else runs meanwhile."""

    def seconds(text: str) -> float:
        began = time.thread_time()
        redact(text)
        return time.thread_time() - began

    # Whole, and behind a beginning that may match or not.
    hostile = max(
        seconds((first + piece * 16_000)[:16_000]) for first in ("", "token", '"token"', "%", "://")
    )

    # What it is compared with is looked through by every pattern, as it is not ASCII.
    assert hostile < 100 * max(seconds("It is finé. " * 1_334) for _ in range(3))


def test_line_without_a_secret_is_only_looked_at() -> None:
    """Two lines are logged of each socket that opens."""

    def seconds(text: str) -> float:
        began = time.thread_time()
        for _ in range(100):
            redact(text)
        return time.thread_time() - began

    line = '{"event": "127.0.0.1:48854 - \\"WebSocket /ws/chat/1/?v=1\\" [accepted]", "user_id": 299}'
    looked_at = min(seconds(line) for _ in range(5))

    assert looked_at < min(seconds(line + "é") for _ in range(5)) / 2  # which is looked through


def test_field_is_as_long_as_somebody_would_read(written: io.StringIO) -> None:
    logging.getLogger("tests").info("asked", extra={"user_agent": "x" * 30_000})
    structlog.get_logger("tests").info("asked", user_agent="y" * 30_000)

    assert "x" * 100 in written.getvalue()
    assert "y" * 100 in written.getvalue()
    assert len(written.getvalue()) < 6_000


def test_uvicorn_line_of_a_socket_is_clean(written: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").info(
        '%s - "WebSocket %s" [accepted]', "127.0.0.1:5000", f"/ws/chat/1/?token={CANARY}&v=1"
    )

    assert CANARY not in written.getvalue()
    assert "/ws/chat/1/?token=[redacted]&v=1" in written.getvalue()
    assert len(written.getvalue().splitlines()) == 1


def test_uvicorn_access_line_is_clean(written: io.StringIO) -> None:
    logging.getLogger("uvicorn.access").info(
        '%s - "%s %s HTTP/%s" %d', "127.0.0.1:5000", "GET", f"/api/me/?token={CANARY}", "1.1", 200
    )

    assert CANARY not in written.getvalue()
    assert len(written.getvalue().splitlines()) == 1


def test_exception_text_is_clean(written: io.StringIO) -> None:
    try:
        raise ConnectionError(f"redis://:{CANARY}@redis refused Bearer {JWT}")
    except ConnectionError:
        logging.getLogger("daphne.server").exception("Exception inside application")

    assert CANARY not in written.getvalue()
    assert JWT not in written.getvalue()
    assert "ConnectionError" in written.getvalue()


def test_fields_are_clean(written: io.StringIO) -> None:
    logging.getLogger("realtime.sockets.consumer").warning("refused", extra={"query": f"token={CANARY}"})
    structlog.get_logger("accounts").warning(
        "refused", authorization=f"Bearer {CANARY}", request=f"GET /?ticket={CANARY}"
    )

    assert CANARY not in written.getvalue()
    assert written.getvalue().count("[redacted]") == 3


def test_socket_and_user_are_in_every_line(written: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(socket_id="5f2c", user_id=42):
        logging.getLogger("chat").info("from the standard library")
        structlog.get_logger("chat").info("from structlog")

    for line in written.getvalue().splitlines():
        assert "5f2c" in line
        assert "42" in line


def test_production_writes_one_json_object_per_line() -> None:
    stream = io.StringIO()
    described = configuration(readable=False, level="INFO")
    formatter = described["formatters"]["relais"]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        formatter["()"](foreign_pre_chain=formatter["foreign_pre_chain"], processors=formatter["processors"])
    )
    logger = logging.getLogger("chat.services")
    logger.addHandler(handler)
    try:
        logger.warning("%d messages\nwere lost", 3, extra={"topic": "conversation.1"})
    finally:
        logger.removeHandler(handler)

    line = json.loads(stream.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line.pop("worker") == os.getpid()
    assert line == {
        "event": "3 messages\nwere lost",
        "level": "warning",
        "logger": "chat.services",
        "topic": "conversation.1",
    }


def test_line_names_its_worker(written):
    logging.getLogger("anything").warning("by the standard library")
    structlog.get_logger("anything").warning("by structlog", worker=7)

    first, second = re.sub(r"\x1b\[\d+m", "", written.getvalue()).splitlines()
    assert re.search(rf"worker\W+{os.getpid()}\b", first)
    assert re.search(r"worker\W+7\b", second)
