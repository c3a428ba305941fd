"""docker-compose.yml, render.yaml and railway.toml are valid, and name only settings that exist.

Compose is checked against its published schema. No package index has the schemas of Render and Railway, and
they may not be copied, so these two files are checked against strict schemas of our own: `schemas/README.md`
says what that is worth.
"""

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # published without types
import pytest

from tests.deployment.descriptions import (
    INTERPOLATED,
    REPOSITORY,
    compose_environment,
    dockerfile_lines,
    python,
    render_environment,
    texts_in,
    web_of,
)

SCHEMAS = Path(__file__).parent / "schemas"

# Variables that Python, pip or the shell read, not the product.
OF_THE_INTERPRETER = {"PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PIP_DISABLE_PIP_VERSION_CHECK"}


@pytest.fixture(scope="module")
def settings_read() -> set[str]:
    """The variables that the settings ask for, as the settings record it themselves."""
    script = "import json, config.settings as s; print(json.dumps(sorted(s.env.asked_for)))"
    return set(json.loads(python("-c", script, SECRET_KEY="k" * 32).stdout))


# ── valid ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_compose_file_follows_the_published_schema(compose: dict[str, Any]) -> None:
    published = resources.files("check_jsonschema.builtin_schemas.vendor") / "compose-spec.json"

    _validate(compose, json.loads(published.read_text()))


def test_render_blueprint_follows_the_documentation(render: dict[str, Any]) -> None:
    _validate(render, json.loads((SCHEMAS / "render.schema.json").read_text()))


def test_railway_file_follows_the_documentation(railway: dict[str, Any]) -> None:
    _validate(railway, json.loads((SCHEMAS / "railway.schema.json").read_text()))


@pytest.mark.parametrize(
    ("schema", "mistake"),
    [
        ("render", {"services": [{"type": "redis", "name": "redis-server", "plan": "starter"}]}),
        (
            "render",
            {"services": [{"type": "web", "name": "relais", "env": "python", "startCommand": "daphne"}]},
        ),
        ("render", {"services": [{"type": "keyvalue", "name": "without-an-allow-list"}]}),
        ("railway", {"services": [{"name": "redis", "image": "redis:7-alpine", "port": 6379}]}),
        ("railway", {"build": {"builder": "nixpacks"}}),
        ("railway", {"deploy": {"restartPolicyMaxRetries": 0}}),
    ],
)
def test_our_schemas_refuse_what_guides_get_wrong(schema: str, mistake: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        _validate(mistake, json.loads((SCHEMAS / f"{schema}.schema.json").read_text()))


def test_blueprint_refers_only_to_what_it_creates(render: dict[str, Any]) -> None:
    created = {("database", database["name"]) for database in render["databases"]}
    created |= {(service["type"], service["name"]) for service in render["services"]}

    for variable in web_of(render)["envVars"]:
        if reference := variable.get("fromDatabase"):
            assert ("database", reference["name"]) in created
        if reference := variable.get("fromService"):
            assert (reference["type"], reference["name"]) in created


# ── settings ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.acceptance
def test_every_variable_that_is_set_is_a_setting(
    compose: dict[str, Any], render: dict[str, Any], settings_read: set[str]
) -> None:
    in_image = {
        name for instruction in dockerfile_lines("ENV") for name in re.findall(r"(\w+)=", instruction)
    }
    in_compose = {*compose["services"]["web"]["environment"], *compose["services"]["migrate"]["environment"]}
    in_render = {variable["key"] for variable in web_of(render)["envVars"]}
    on_railway = set(re.findall(r"\b([A-Z_]+)=\S", (REPOSITORY / "railway.toml").read_text()))

    assert in_image - OF_THE_INTERPRETER <= settings_read
    assert in_compose <= settings_read
    assert in_render <= settings_read
    assert {"SECRET_KEY", "DATABASE_URL", "REDIS_URL"} <= on_railway <= settings_read


def test_every_variable_that_compose_asks_for_is_in_the_example(compose: dict[str, Any]) -> None:
    example = (REPOSITORY / ".env.example").read_text()
    asked_for = {match[1] for text in texts_in(compose) for match in INTERPOLATED.finditer(text)}
    asked_for |= {name for name, value in compose["services"]["web"]["environment"].items() if value is None}

    assert {name for name in asked_for if not re.search(rf"^#? ?{name}=", example, re.MULTILINE)} == set()


def test_memory_that_is_a_disk_has_a_size(compose: dict[str, Any]) -> None:
    mounted = [service["tmpfs"] for service in compose["services"].values() if "tmpfs" in service]

    assert mounted == ["/tmp:size=32m"] * 2


@pytest.mark.acceptance
@pytest.mark.parametrize("platform", ["compose", "render"])
def test_settings_accept_what_is_set(platform: str, request: pytest.FixtureRequest) -> None:
    described = request.getfixturevalue(platform)
    environment = compose_environment(described) if platform == "compose" else render_environment(described)

    done = python("manage.py", "check", **environment)

    assert done.returncode == 0, done.stdout + done.stderr


def _validate(document: Any, schema: dict[str, Any]) -> None:
    jsonschema.validators.validator_for(schema)(schema).validate(document)
