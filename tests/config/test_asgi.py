"""The assembled application: every protocol, unknown paths, and settings that stop the start."""

import gc
import json
import subprocess
import sys
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from channels.testing import WebsocketCommunicator
from django.core.checks import Error, Warning  # noqa: A004 - Django's name

from config import asgi
from config.asgi import application
from tests.config.test_settings import KEY, ROOT, python


async def test_unknown_socket_is_refused_before_accept(db: None) -> None:
    communicator = WebsocketCommunicator(application, "/ws/nowhere/")

    accepted, _code = await communicator.connect()

    assert not accepted
    await communicator.wait()  # raises what the application raised


async def test_unknown_socket_gets_404_where_the_server_can_say_it(db: None) -> None:
    communicator = WebsocketCommunicator(application, "/nowhere")
    communicator.scope["extensions"] = {"websocket.http.response": {}}

    await communicator.send_input({"type": "websocket.connect"})
    start = await communicator.receive_output()

    assert (start["type"], start["status"]) == ("websocket.http.response.start", 404)
    await communicator.receive_output()
    await communicator.wait()


async def test_foreign_origin_is_refused(db: None) -> None:
    headers = [(b"host", b"localhost"), (b"origin", b"https://evil.example")]
    communicator = WebsocketCommunicator(application, "/ws/notifications/", headers=headers)

    accepted, _code = await communicator.connect()

    assert not accepted


@pytest.mark.parametrize("origin", [b"http://localhost", b"https://evil.example"])
async def test_server_has_no_secret_to_log_whoever_forwarded_the_request(
    db: None, settings: Any, origin: bytes
) -> None:
    """The server writes its access log after us, from its own scope: that one must be clean as well."""
    settings.RELAIS = {**settings.RELAIS, "trusted_proxies": ("127.0.0.0/8",)}
    headers = [(b"host", b"localhost"), (b"origin", origin), (b"x-forwarded-for", b"203.0.113.7")]
    communicator = WebsocketCommunicator(application, "/ws/nowhere/?v=1&%74oken=c4n4ry", headers=headers)
    communicator.scope |= {"client": ("127.0.0.1", 4711), "scheme": "ws"}

    await communicator.connect()
    await communicator.wait()

    assert communicator.scope["query_string"] == b"v=1"
    assert communicator.scope["client"] == ("203.0.113.7", 0)


async def test_lifespan_begins_and_ends() -> None:
    communicator = ApplicationCommunicator(application, {"type": "lifespan", "asgi": {"version": "3.0"}})

    await communicator.send_input({"type": "lifespan.startup"})
    assert await communicator.receive_output(5) == {"type": "lifespan.startup.complete"}
    await communicator.send_input({"type": "lifespan.shutdown"})
    assert await communicator.receive_output(5) == {"type": "lifespan.shutdown.complete"}
    await communicator.wait()


async def test_health_is_asked_for_by_any_host() -> None:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/health/live",
        "headers": [(b"host", b"10.2.3.4:8000")],
        "client": ["10.9.9.9", 1],
    }
    communicator = ApplicationCommunicator(application, scope)
    await communicator.send_input({"type": "http.request", "body": b""})

    assert (await communicator.receive_output(5))["status"] == 200
    assert json.loads((await communicator.receive_output(5))["body"]) == {"status": "ok"}


def found(*messages: Any) -> Any:
    return lambda **_options: list(messages)


def test_error_of_a_check_stops_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        asgi, "run_checks", found(Warning("be careful"), Error("this is unsafe", id="relais.E099"))
    )

    with pytest.raises(SystemExit, match=r"(?s)Relais cannot start\..*this is unsafe") as stopped:
        asgi.refuse_unsafe_settings()

    assert "be careful" not in str(stopped.value)


def test_warning_of_a_check_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(asgi, "run_checks", found(Warning("be careful", id="relais.W099")))

    asgi.refuse_unsafe_settings()

    assert "be careful" in caplog.text


@pytest.mark.acceptance
def test_checks_are_run_by_every_server() -> None:
    unsafe = (
        "import config.settings as s; s.CHANNEL_LAYERS = "
        "{'default': {'BACKEND': 'channels_redis.core.RedisChannelLayer'}}; import config.asgi"
    )

    done = python("-c", unsafe, SECRET_KEY=KEY)

    assert done.returncode == 1
    assert done.stderr.startswith("Relais cannot start.\n")
    assert "relais.E005" in done.stderr


@pytest.mark.acceptance
def test_server_that_cannot_start_says_why_in_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "daphne", "-p", "0", "config.asgi:application"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "ENV_FILE": "/dev/null", "SECRET_KEY": "short"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert done.returncode == 1
    assert done.stderr == "Relais cannot start. SECRET_KEY has 5 bytes: expected at least 32 random bytes.\n"


def test_the_program_itself_is_no_part_of_a_garbage_collection():
    assert gc.get_freeze_count() > 50_000
