"""The deployment files hold no secret, publish only the server, and release and stop it in order."""

import re
from typing import Any

from tests.deployment.descriptions import INTERPOLATED, REPOSITORY, dockerfile_lines, passwords_in, web_of

# `scripts/serve` promises to stop within this time; each platform kills what is left some seconds later.
GRACEFUL_STOP_SECONDS = 15

SECRET_NAME = re.compile(r"SECRET|PASSWORD|AUTH$|TOKEN$|_KEYS?$")


# ── secrets ──────────────────────────────────────────────────────────────────────────────────────────────


def test_compose_file_holds_no_secret_and_names_a_missing_one(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            for secret in [value] if value and SECRET_NAME.search(name) else passwords_in(value):
                match = INTERPOLATED.fullmatch(secret)
                assert match is not None, f"{name} is {value}"
                assert match[2] == "?", f"{name} has a default"


def test_blueprint_holds_no_secret(render: dict[str, Any]) -> None:
    for variable in web_of(render)["envVars"]:
        if SECRET_NAME.search(variable["key"]):
            assert variable == {"key": variable["key"], "generateValue": True}
        assert passwords_in(str(variable.get("value", ""))) == []


def test_image_holds_no_secret() -> None:
    kept = [*dockerfile_lines("ENV"), *dockerfile_lines("ARG"), *dockerfile_lines("LABEL")]

    assert not any(re.search(r"SECRET|PASSWORD|TOKEN|KEY", instruction) for instruction in kept)
    assert not re.search(r"SECRET_KEY=(?![\"']?\$\()", (REPOSITORY / "Dockerfile").read_text())


# ── what nobody outside may reach ────────────────────────────────────────────────────────────────────────


def test_only_the_server_of_compose_is_published(compose: dict[str, Any]) -> None:
    published = {name for name, service in compose["services"].items() if "ports" in service}

    assert published == {"web"}
    assert all("network_mode" not in service for service in compose["services"].values())


def test_redis_of_compose_has_the_password_of_the_servers_url(compose: dict[str, Any]) -> None:
    redis = compose["services"]["redis"]
    password = redis["command"][redis["command"].index("--requirepass") + 1]

    assert INTERPOLATED.fullmatch(password)
    assert passwords_in(compose["services"]["web"]["environment"]["REDIS_URL"]) == [password]


def test_datastores_of_render_are_private(render: dict[str, Any]) -> None:
    stores = [*render["databases"], *(service for service in render["services"] if service["type"] != "web")]

    assert [store["ipAllowList"] for store in stores] == [[], []]


def test_server_of_compose_has_no_rights_to_lose(compose: dict[str, Any]) -> None:
    web = compose["services"]["web"]

    assert "user" not in web  # the image has a user of its own, which is not root
    assert web["cap_drop"] == ["ALL"]
    assert web["security_opt"] == ["no-new-privileges:true"]


# ── releasing and stopping ───────────────────────────────────────────────────────────────────────────────


def test_migrations_are_a_step_of_the_release(
    compose: dict[str, Any], render: dict[str, Any], railway: dict[str, Any]
) -> None:
    step = "python manage.py migrate --noinput"

    assert compose["services"]["migrate"]["command"] == step
    assert (
        compose["services"]["web"]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    )
    assert web_of(render)["preDeployCommand"] == step
    assert railway["deploy"]["preDeployCommand"] == step


def test_no_start_command_migrates(
    compose: dict[str, Any], render: dict[str, Any], railway: dict[str, Any]
) -> None:
    starts = [
        *dockerfile_lines("CMD"),
        compose["services"]["web"]["command"],
        web_of(render)["dockerCommand"],
        railway["deploy"]["startCommand"],
    ]

    assert {command.strip('[]"') for command in starts} == {"scripts/serve"}
    assert not re.search(r"^[^#\n]*\bmigrate\b", (REPOSITORY / "scripts/serve").read_text(), re.MULTILINE)


def test_every_platform_waits_for_a_graceful_stop(
    compose: dict[str, Any], render: dict[str, Any], railway: dict[str, Any]
) -> None:
    waits = [
        int(compose["services"]["web"]["stop_grace_period"].removesuffix("s")),
        web_of(render)["maxShutdownDelaySeconds"],
        railway["deploy"]["drainingSeconds"],
    ]

    assert all(seconds > GRACEFUL_STOP_SECONDS for seconds in waits)


def test_servers_of_compose_start_when_what_they_need_is_ready(compose: dict[str, Any]) -> None:
    services = compose["services"]

    for name, dependency in services["web"]["depends_on"].items():
        if dependency["condition"] == "service_healthy":
            assert services[name]["healthcheck"]["test"]
    assert set(services["web"]["depends_on"]) == {"db", "redis", "migrate"}
    assert services["migrate"]["depends_on"] == {"db": {"condition": "service_healthy"}}
