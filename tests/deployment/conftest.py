"""Fixtures for the three files that describe a deployment, each read once."""

from typing import Any

import pytest

from tests.deployment.descriptions import compose_file, railway_file, render_file


@pytest.fixture(scope="package")
def compose() -> dict[str, Any]:
    return compose_file()


@pytest.fixture(scope="package")
def render() -> dict[str, Any]:
    return render_file()


@pytest.fixture(scope="package")
def railway() -> dict[str, Any]:
    return railway_file()
