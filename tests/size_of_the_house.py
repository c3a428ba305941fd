"""The figures of ADR 29: the size of the core, what apps import of it, and the road of a message through it.

    scripts/test tests/size_of_the_house.py -q -s

It is collected only where it is named, and can be copied to other revisions and run there. The road has the
files of ours that run from the frame of a sender to the frame of its reader. The server and its wire are left
out: sockets inside this process stand in for them.
"""

from __future__ import annotations

import ast
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grimp
from asgiref.sync import sync_to_async

from tests.factories import make_conversation

ROOT = Path(__file__).parent.parent
#: Packages that stand on the core.
APPS = ("accounts", "chat", "demo", "guide_dialect", "notifications", "typing_indicator")
#: Modules that run in tests only.
NOT_OURS = ("tests/", ".venv/", "realtime/testing.py")
#: Modules that run beside some messages and not beside others: a head check, a timer.
MESSAGES = 20


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """The names of the core that a module imports, each with the module that it is imported from."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "realtime":
            yield from ((node.module or "", alias.name) for alias in node.names)


def largest_knot() -> set[str]:
    """The largest set of modules of the core that import each other in a circle, for the type checker
    included."""
    graph = grimp.build_graph("realtime", cache_dir=None)
    knots = [
        {module} | (graph.find_upstream_modules(module) & graph.find_downstream_modules(module))
        for module in graph.modules
        if not module.startswith("realtime.migrations")
    ]
    return max(knots, key=len)


def test_size() -> None:
    modules = [path for path in (ROOT / "realtime").rglob("*.py") if "migrations" not in path.parts]
    flat = [path for path in modules if path.parent.name == "realtime"]
    lines = sum(len(path.read_text().splitlines()) for path in modules)
    names = {each for app in APPS for path in (ROOT / app).rglob("*.py") for each in imported(path)}
    imported_from = {
        f"{module}.{name}" if (ROOT / module.replace(".", "/") / f"{name}.py").is_file() else module
        for module, name in names
    }

    print(f"\nrealtime/: {len(modules)} modules, {len(flat)} of them flat, {lines} lines")
    print("its largest knot:", *sorted(largest_knot()))
    print(f"apps import {len(names)} names of {len(imported_from)} modules")


class Road:
    """Notes each file of ours in the order in which it is entered, in all threads."""

    def __init__(self) -> None:
        self.files: dict[str, None] = {}

    def __call__(self, frame: Any, event: str, _argument: Any) -> None:
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(f"{ROOT}/"):
            name = path.removeprefix(f"{ROOT}/")
            if not name.startswith(NOT_OURS):
                self.files.setdefault(name)


road = Road()
threading.setprofile(road)  # here, because fixtures start threads


async def test_road(ana: Any, bruno: Any, connect: Any) -> None:
    conversation = await sync_to_async(make_conversation)(ana, bruno)
    path = f"/ws/chat/{conversation.pk}/"
    roads = []
    async with connect(ana, path) as sender, connect(bruno, path) as reader:
        sys.setprofile(road)
        try:
            for number in range(MESSAGES + 1):
                road.files = {}
                await sender.send({"message": str(number)})
                assert (await reader.receive())["content"] == str(number)
                roads.append(road.files)
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    first, *others = roads[1:]  # what is done once for all is done with the very first message
    always = [name for name in first if all(name in other for other in others)]
    print(f"\nthe road has {len(always)} files:", *always, sep="\n  ")
