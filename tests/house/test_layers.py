"""import-linter guards the layers: the real ones hold, and a violation is found."""

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.servers import ROOT

pytestmark = pytest.mark.stack("small")

CONTRACTS = (ROOT / "pyproject.toml").read_text()
PACKAGES = tomllib.loads(CONTRACTS)["tool"]["importlinter"]["root_packages"]


def lint(directory: Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("lint-imports") or str(ROOT / ".venv" / "bin" / "lint-imports")
    return subprocess.run(
        [program, "--no-cache", "--no-logo"], cwd=directory, capture_output=True, text=True, check=False
    )


@pytest.fixture
def toy(tmp_path) -> Path:
    """Empty packages with our names, under our contracts."""
    (tmp_path / "pyproject.toml").write_text(CONTRACTS)
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        for module in ("__init__", "consumers", "services", "events", "models", "errors"):
            (tmp_path / package / f"{module}.py").touch()
    return tmp_path


def test_our_layers_hold():
    checked = lint(ROOT)
    assert checked.returncode == 0, checked.stdout


def test_downward_imports_are_fine(toy):
    (toy / "chat" / "services.py").write_text("import notifications.services, chat.events, realtime.errors\n")
    checked = lint(toy)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("realtime/errors.py", "chat.errors"),
        ("accounts/services.py", "notifications.services"),
        ("notifications/events.py", "chat.events"),
        ("chat/services.py", "config"),
        ("chat/models.py", "chat.services"),
        ("chat/services.py", "chat.consumers"),
        ("accounts/errors.py", "accounts.models"),
    ],
)
def test_upward_import_is_found(toy, module, imported):
    (toy / module).write_text(f"import {imported}\n")
    checked = lint(toy)
    assert checked.returncode != 0
    assert imported.partition(".")[0] in checked.stdout
