"""import-linter guards the layers: the real ones hold, and a violation is found."""

import ast
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import chain, pairwise
from pathlib import Path

import grimp
import pytest

import realtime
from tests.servers import ROOT

pytestmark = pytest.mark.stack("small")

#: Packages that stand on the core and must not look past its door; `config` assembles everything.
APPS = (
    "accounts",
    "changes",
    "chat",
    "contract",
    "demo",
    "directus",
    "supabase",
    "presence",
    "doctor",
    "guide_dialect",
    "notifications",
    "typing_indicator",
)

CONTRACTS = (ROOT / "pyproject.toml").read_text()
LINTER = tomllib.loads(CONTRACTS)["tool"]["importlinter"]
#: The rooms of the core, from the top; those in one row are on one floor.
ROOMS = [
    re.findall(r"\w+", floor)
    for contract in LINTER["contracts"]
    if contract.get("containers") == ["realtime"]
    for floor in contract["layers"]
]


def lint(directory: Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("lint-imports") or str(ROOT / ".venv" / "bin" / "lint-imports")
    return subprocess.run(
        [program, "--no-cache", "--no-logo"], cwd=directory, capture_output=True, text=True, check=False
    )


@pytest.fixture
def toy(tmp_path) -> Path:
    """Empty packages with our names, under our contracts."""
    (tmp_path / "pyproject.toml").write_text(CONTRACTS)
    for package in LINTER["root_packages"]:
        (tmp_path / package).mkdir()
        modules = ("consumers", "services", "events", "models", "errors")
        for module in chain(*ROOMS) if package == "realtime" else modules:
            (tmp_path / package / f"{module}.py").touch()
        (tmp_path / package / "__init__.py").touch()
    return tmp_path


def test_our_layers_hold():
    checked = lint(ROOT)
    assert checked.returncode == 0, checked.stdout


def imports_in(path: Path) -> Iterator[ast.ImportFrom]:
    """Every `from … import …` of a module, wherever it stands."""
    yield from (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom))


def test_apps_import_the_core_through_its_door():
    past_the_door = [
        f"{path.relative_to(ROOT)}: {node.module}"
        for app in APPS
        for path in (ROOT / app).rglob("*.py")
        for node in imports_in(path)
        if node.module and node.module.startswith("realtime.") and node.module != "realtime.testing"
    ]

    assert past_the_door == []


def test_door_says_the_same_to_the_type_checker_and_to_python():
    imported = {
        f"{node.module}.{alias.name}"
        for node in imports_in(ROOT / "realtime" / "__init__.py")
        if node.module and node.module.startswith("realtime")
        for alias in node.names
    }
    at_runtime = {f"{module}.{name}" for module, names in realtime._ROOMS.items() for name in names}

    assert at_runtime | set(realtime._MODULES) == imported


def test_no_module_of_the_core_knows_itself_by_a_detour():
    """This holds for the type checker too: where two modules have to know each other, the lower one has a
    protocol."""
    graph = grimp.build_graph("realtime", exclude_type_checking_imports=False)
    known = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    del known["realtime"]  # the door is left out: nothing inside goes through it

    try:
        order = list(TopologicalSorter(known).static_order())
    except CycleError as circle:
        pytest.fail(" → ".join(circle.args[1]))
    assert "realtime.hub.hub" in order


def test_door_opens_to_what_it_names_and_to_nothing_else():
    for name in dir(realtime):
        assert getattr(realtime, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Everything'"):
        _ = realtime.Everything


def test_every_room_says_its_purpose_in_one_line():
    for room in (ROOT / "realtime").iterdir():
        if (room / "__init__.py").is_file() and room.name not in ("migrations", "management"):
            purpose = ast.get_docstring(ast.parse((room / "__init__.py").read_text()))
            assert purpose, room.name


def test_config_only_assembles():
    """A page, a middleware or a check of the product belongs to the room it is about."""
    modules = {module.stem for module in (ROOT / "config").glob("*.py")}

    assert modules == {
        "__init__",
        "asgi",
        "env",
        "extra_apps",
        "logs",
        "openapi",
        "serve",
        "settings",
        "urls",
        "worker",
        "ws_routing",
    }


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
        *((f"realtime/{below[-1]}.py", f"realtime.{above[0]}") for above, below in pairwise(ROOMS)),
        ("realtime/log.py", "realtime.bells"),
        ("realtime/wire.py", "realtime.http"),
    ],
)
def test_upward_import_is_found(toy, module, imported):
    (toy / module).write_text(f"import {imported}\n")
    checked = lint(toy)
    assert checked.returncode != 0
    assert imported.partition(".")[0] in checked.stdout


def test_upward_import_is_found_where_only_the_type_checker_reads_it(toy):
    (toy / "realtime" / "metrics.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import realtime.wire\n"
    )
    checked = lint(toy)
    assert checked.returncode != 0
    assert "realtime.metrics -> realtime.wire" in checked.stdout


def test_module_of_the_core_that_is_on_no_floor_is_found(toy):
    (toy / "realtime" / "utils.py").touch()
    checked = lint(toy)
    assert checked.returncode != 0
    assert "utils" in checked.stdout
