"""The settings as a whole: values that stop a start, and what the documents say about each."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from config import settings
from realtime.defaults import Conf
from realtime.rates import Rate

# Nearly all of these tests start the product with an environment of its own.
pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).resolve().parents[2]
KEY = "0123456789abcdef0123456789abcdef"

#: These stand in .env.example for docker-compose.yml, which puts them into the URLs that the server reads.
READ_BY_COMPOSE = {"POSTGRES_PASSWORD", "REDIS_PASSWORD"}


def python(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run this Python at the root of the project, with only this environment."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "ENV_FILE": os.devnull, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def settings_with(*names: str, **variables: str) -> list[object]:
    """The values of some settings in another process."""
    script = f"import json, config.settings as s; print(json.dumps([getattr(s, n) for n in {list(names)!r}]))"
    done = python("-c", script, **{"SECRET_KEY": KEY, **variables})
    assert done.returncode == 0, done.stderr
    values: list[object] = json.loads(done.stdout)
    return values


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY is missing: expected at least 32 random bytes."),
        ({"SECRET_KEY": "x" * 31}, "SECRET_KEY has 31 bytes: expected at least 32 random bytes."),
        (
            {"SECRET_KEY_FALLBACKS": f"{KEY},short"},
            "SECRET_KEY_FALLBACKS, key 2 of 2, has 5 bytes: expected at least 32 random bytes.",
        ),
        ({"SERVICE_API_KEYS": "guess"}, "SERVICE_API_KEYS, key 1 of 1, has 5 bytes"),
        ({"METRICS_TOKEN": "guess"}, "METRICS_TOKEN has 5 bytes: expected at least 32 random bytes."),
        ({"METRICS_DIR": "/nowhere"}, "METRICS_DIR is '/nowhere': expected a directory that exists."),
        ({"REVISION": "a b"}, "REVISION is 'a b': expected a commit or a version"),
        ({"DEBUG": "maybe"}, "DEBUG is 'maybe': expected on or off."),
        ({"ALLOWED_HOSTS": "*"}, "ALLOWED_HOSTS contains '*': expected the names of this server"),
        ({"ALLOWED_ORIGINS": "*"}, "ALLOWED_ORIGINS contains '*': expected full origins"),
        ({"TRUSTED_PROXIES": "::/0"}, "TRUSTED_PROXIES contains '::/0', which lets anyone forge an address"),
        ({"TRUSTED_PROXIES": "nginx"}, "TRUSTED_PROXIES contains 'nginx': expected an address or a network"),
        (
            {"DATABASE_URL": "mysql://root@db/relais"},
            "DATABASE_URL is 'mysql://root@db/relais' (neither SQLite nor",
        ),
        ({"DATABASE_URL": "relais.sqlite3"}, "DATABASE_URL is 'relais.sqlite3'"),
        ({"DATABASE_URL": "sqlite://:memory:"}, "(a database in memory is not shared between threads)"),
        ({"DATABASE_URL": "postgres://db:port/relais"}, "DATABASE_URL is 'postgres://db:port/relais'"),
        ({"DATABASE_URL": "postgres://db"}, "DATABASE_URL is 'postgres://db'"),
        (
            {"REDIS_URL": "localhost:6379"},
            "REDIS_URL is 'localhost:6379' (not a Redis URL): expected redis://",
        ),
        ({"REDIS_URL": "redis://a:1,redis://b:x"}, "REDIS_URL is 'redis://a:1,redis://b:x'"),
        ({"WORKERS": "2"}, "WORKERS is '2': expected 1, or a REDIS_URL"),
        ({"SERVER": "gunicorn"}, "SERVER is 'gunicorn': expected daphne or uvicorn."),
        ({"LANGUAGE_CODE": "de"}, "LANGUAGE_CODE is 'de': expected en or fr."),
        (
            {"ACCESS_TOKEN_TTL": "1y"},
            "ACCESS_TOKEN_TTL is '1y': expected seconds from 1 to 31536000, or a time",
        ),
        ({"SESSION_COOKIE_TTL": "0"}, "SESSION_COOKIE_TTL is '0': expected seconds from 1 to"),
        ({"WEBSOCKETS_REST_AUTH": "open"}, "WEBSOCKETS_REST_AUTH is 'open': expected public or handshake or"),
        (
            {"WEBSOCKETS_REST_AUTH_TIMEOUT": "0"},
            "WEBSOCKETS_REST_AUTH_TIMEOUT is '0': expected seconds from 1",
        ),
        (
            {"WEBSOCKETS_REST_PATH": "websocket"},
            "WEBSOCKETS_REST_PATH is 'websocket': expected a path such as",
        ),
        ({"WEBSOCKETS_BROKER_URL": "localhost"}, "WEBSOCKETS_BROKER_URL is 'localhost' (not a Redis URL)"),
        (
            {"LIMIT_SENDS": "10 a second"},
            "LIMIT_SENDS is '10 a second': expected off, or count/s|min|h:burst",
        ),
        (
            {"LIMIT_SOCKETS_PER_USER": "many"},
            "LIMIT_SOCKETS_PER_USER is 'many': expected off or a whole number",
        ),
        ({"LIMIT_CONTENT": "off"}, "LIMIT_CONTENT is 'off': expected a whole number from 1 to 32000."),
        ({"LIMIT_PING_SECONDS": "0"}, "LIMIT_PING_SECONDS is '0': expected a whole number from 1 to 3600."),
        ({"LIMIT_OUTBOX_BYTES": "1024"}, "LIMIT_OUTBOX_BYTES is '1024': expected a whole number from 16384"),
    ],
)
def test_wrong_value_stops_the_server_with_a_sentence(variables: dict[str, str], sentence: str) -> None:
    done = python("-c", "import config.asgi", **{"SECRET_KEY": KEY, **variables})

    assert done.returncode == 1
    assert done.stderr.startswith("Relais cannot start. ")
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_value_stops_commands_with_the_same_sentence() -> None:
    done = python("manage.py", "migrate", SECRET_KEY="short")

    assert done.returncode == 1
    assert done.stderr == "Relais cannot start. SECRET_KEY has 5 bytes: expected at least 32 random bytes.\n"


def test_wildcards_are_for_debug() -> None:
    hosts, everyone = settings_with(
        "ALLOWED_HOSTS", "CORS_ALLOW_ALL_ORIGINS", DEBUG="on", ALLOWED_HOSTS="*", ALLOWED_ORIGINS="*"
    )

    assert (hosts, everyone) == (["*"], True)


def test_defaults_are_safe() -> None:
    debug, demo, hosts, origins, cookies = settings_with(
        "DEBUG", "DEMO_ENABLED", "ALLOWED_HOSTS", "ALLOWED_ORIGINS", "SESSION_COOKIE_SECURE"
    )

    assert (debug, demo, origins, cookies) == (False, False, [], True)
    assert hosts == ["localhost", "127.0.0.1", "[::1]"]


@pytest.mark.parametrize("variable", ["RENDER_EXTERNAL_HOSTNAME", "RAILWAY_PUBLIC_DOMAIN"])
def test_name_given_by_the_platform_is_allowed(variable: str) -> None:
    hosts, origins, trusted = settings_with(
        "ALLOWED_HOSTS",
        "ALLOWED_ORIGINS",
        "CSRF_TRUSTED_ORIGINS",
        ALLOWED_ORIGINS="https://app.example.com",
        **{variable: "relais.example.app"},
    )

    assert hosts == ["relais.example.app"]
    assert origins == trusted == ["https://app.example.com", "https://relais.example.app"]


def test_demo_is_an_app_only_when_enabled() -> None:
    (without,) = settings_with("INSTALLED_APPS")
    (enabled,) = settings_with("INSTALLED_APPS", DEMO_ENABLED="on")

    assert isinstance(without, list)
    assert isinstance(enabled, list)
    assert "demo" not in without
    assert enabled == [*without, "demo"]
    assert without[0] == "daphne"


def test_directus_is_an_app_only_when_enabled() -> None:
    (without,) = settings_with("INSTALLED_APPS")
    (enabled,) = settings_with("INSTALLED_APPS", DIRECTUS_ENABLED="on")

    assert isinstance(without, list)
    assert "directus" not in without
    assert enabled == [*without, "directus"]


def test_redis_by_the_name_that_directus_has_for_it() -> None:
    """It stands in for an empty REDIS_URL, and only in the dialect that it belongs to."""
    broker = {"WEBSOCKETS_BROKER_URL": "redis://broker:6379/0"}

    def hosts(**variables: str) -> str:
        script = "import config.settings as s; print(s.CHANNEL_LAYERS)"
        done = python("-c", script, **{"SECRET_KEY": KEY, **broker, **variables})
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "broker" in hosts(DIRECTUS_ENABLED="on")
    assert "broker" in hosts(DIRECTUS_ENABLED="on", REDIS_URL="", WORKERS="2")
    assert "broker" not in hosts(DIRECTUS_ENABLED="on", REDIS_URL="redis://ours:6379/0")
    assert "broker" not in hosts()


def test_lines_of_the_guides_are_read_as_directus_reads_them() -> None:
    values, session = settings_with(
        "DIRECTUS",
        "SESSION_COOKIE_TTL",
        DIRECTUS_ENABLED="on",
        WEBSOCKETS_ENABLED="true",
        WEBSOCKETS_REST_AUTH="strict",
        WEBSOCKETS_REST_AUTH_TIMEOUT="30000",
        WEBSOCKETS_HEARTBEAT_PERIOD="999",
        WEBSOCKETS_REST_CONN_LIMIT="Infinity",
        QUERY_LIMIT_MAX="-1",
        SESSION_COOKIE_TTL="7d",
        MESSENGER_STORE="redis",
        CACHE_STORE="redis",
        CACHE_ENABLED="true",
    )

    assert isinstance(values, dict)
    assert (values["websockets_rest_auth"], values["websockets_enabled"]) == ("strict", True)
    assert (values["websockets_rest_auth_timeout"], values["websockets_heartbeat_period"]) == (30, 999)
    assert values["in_milliseconds"] == ["WEBSOCKETS_REST_AUTH_TIMEOUT"]
    assert (values["websockets_rest_conn_limit"], values["query_limit_max"]) == (0, 0)
    assert session == 7 * 86_400


def test_timeout_that_was_read_as_milliseconds_is_said_once() -> None:
    variables = {"DIRECTUS_ENABLED": "on", "WEBSOCKETS_REST_AUTH_TIMEOUT": "30000"}
    done = python("-c", "import config.asgi", SECRET_KEY=KEY, **variables)

    assert done.returncode == 0, done.stderr
    assert done.stderr.count("WEBSOCKETS_REST_AUTH_TIMEOUT") == 1
    assert "milliseconds" in done.stderr


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LIMIT_MESSAGE_BYTES", 2_048),
        ("LIMIT_FOREIGN_MESSAGE_BYTES", 4_096),
        ("LIMIT_CONTENT", 100),
        ("LIMIT_OUTBOX_BYTES", 65_536),
        ("LIMIT_PING_SECONDS", 50),
        ("LIMIT_PONG_SECONDS", 20),
        ("LIMIT_HEAD_SECONDS", 30),
        ("LIMIT_BODY_SECONDS", 60),
        ("LIMIT_UNFINISHED_SECONDS", 300),
    ],
)
def test_sizes_and_times_can_be_changed(variable: str, value: int) -> None:
    (changed,) = settings_with("RELAIS", **{variable: str(value)})

    assert isinstance(changed, dict)
    assert changed[variable.lower()] == value


def test_limits_by_default_are_those_of_the_core() -> None:
    clean = settings_with("RELAIS")[0]

    assert isinstance(clean, dict)
    for name, value in clean.items():
        default = vars(Conf)[name]
        assert (str(default) if isinstance(default, Rate) else default) == (
            tuple(value) if isinstance(value, list) else value
        ), name


def documented(text: str, pattern: str) -> list[str]:
    return re.findall(pattern, text, re.MULTILINE)


def test_every_variable_is_in_the_example_and_nothing_else_is() -> None:
    example = documented((ROOT / ".env.example").read_text(), r"^([A-Z_]+)=")

    assert sorted(example) == sorted(settings.env.asked_for | READ_BY_COMPOSE)


def test_every_variable_is_in_the_table_and_nothing_else_is() -> None:
    page = (ROOT / "docs" / "settings.md").read_text().partition("## All of them")[2]

    assert sorted(documented(page, r"^\| `([A-Z_]+)` \|")) == sorted(settings.env.asked_for)


def test_defaults_of_the_example_are_the_defaults(tmp_path: Path) -> None:
    names = ["ALLOWED_HOSTS", "RELAIS", "CHANNEL_LAYERS", "SERVER", "WORKERS", "HOST", "PORT", "DB_POOL"]
    names += ["DEBUG", "DEMO_ENABLED", "LANGUAGE_CODE", "LOG_LEVEL", "SECURE_COOKIES"]
    example = tmp_path / "example"
    example.write_text((ROOT / ".env.example").read_text())

    assert settings_with(*names, ENV_FILE=str(example)) == settings_with(*names)
