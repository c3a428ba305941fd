"""Reads the deployment files, and the environment in which each of them starts a server."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.deployment.dockerfile import parse

REPOSITORY = Path(__file__).parents[2]
# ${NAME}, ${NAME:-default}, ${NAME:?what to do}
INTERPOLATED = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")

# `generateValue` makes 256 bits in base64; this is such a value.
GENERATED_BY_RENDER = "Zm9y/HRoaXMgdGVzdCBvbmx5LCBhbmQgbm8gb3RoZXI="


def compose_file() -> dict[str, Any]:
    """docker-compose.yml, with its merge keys resolved."""
    return mapping(yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text()))


def render_file() -> dict[str, Any]:
    """render.yaml."""
    return mapping(yaml.safe_load((REPOSITORY / "render.yaml").read_text()))


def railway_file() -> dict[str, Any]:
    """railway.toml."""
    return tomllib.loads((REPOSITORY / "railway.toml").read_text())


def mapping(document: Any) -> dict[str, Any]:
    assert isinstance(document, dict)
    return document


def web_of(render: dict[str, Any]) -> dict[str, Any]:
    (service,) = (service for service in render["services"] if service["type"] == "web")
    return mapping(service)


def dockerfile_lines(word: str) -> list[str]:
    text = (REPOSITORY / "Dockerfile").read_text()
    return [instruction.argument for instruction in parse(text) if instruction.word == word]


def texts_in(document: Any) -> Iterator[str]:
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict | list):
        for value in document.values() if isinstance(document, dict) else document:
            yield from texts_in(value)


def passwords_in(value: str | None) -> list[str]:
    return re.findall(r"://[^:/@]*:(.+)@", value or "")


def compose_environment(compose: dict[str, Any]) -> dict[str, str]:
    """The server's environment after the three secrets were made and no other setting was given."""
    return {
        name: INTERPOLATED.sub(lambda match: match[3] if match[2] == "-" else "0f" * 32, value)
        for name, value in compose["services"]["web"]["environment"].items()
        if value is not None
    }


def render_environment(render: dict[str, Any]) -> dict[str, str]:
    """The environment that Render sets: its own variables, and references resolved in the form it gives
    them."""
    resolved = {"RENDER_EXTERNAL_HOSTNAME": "relais-1a2b.onrender.com", "PORT": "10000"}
    for variable in web_of(render)["envVars"]:
        if "fromDatabase" in variable:
            value = "postgresql://relais:letters@dpg-1a2b-a/relais"
        elif "fromService" in variable:
            value = "redis://red-1a2b:6379"
        else:
            value = variable.get("value", GENERATED_BY_RENDER)
        resolved[variable["key"]] = str(value)
    return resolved


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run this Python in a repository without a `.env`, and without this machine's settings."""
    clean = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env=clean | {"ENV_FILE": os.devnull} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
