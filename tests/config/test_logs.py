"""No secret reaches a log, however it came into the record, and every logger ends in our handler."""

import io
import json
import logging
import logging.config
import os
import re
from collections.abc import Iterator

import pytest
import structlog

from config.logs import configuration

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoxfQ.c2lnbmF0dXJl-_x"
CANARY = "canary-7f3a"


@pytest.fixture(params=[False, True], ids=["json", "readable"])
def written(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """The output of our handler, in each of the two formats, after the servers have configured themselves."""
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


def test_long_field_of_a_line_is_cut(written: io.StringIO) -> None:
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
