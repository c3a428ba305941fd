"""What exists is documented: every setting, error code, close code, event type and path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.module_loading import autodiscover_modules

from realtime.conf import Conf
from realtime.errors import CloseCode, RealtimeError
from realtime.events import Event
from realtime.examinations import registered

ROOT = Path(__file__).parent.parent
PRODUCT = ("realtime", "accounts", "notifications", "chat", "typing_indicator", "config", "demo")


def text(name: str) -> str:
    return (ROOT / name).read_text()


def subclasses(kind: Any) -> Iterator[Any]:
    for child in kind.__subclasses__():
        if child.__module__.split(".")[0] in PRODUCT:
            yield child
            yield from subclasses(child)


@pytest.mark.parametrize("code", sorted({kind.code for kind in subclasses(RealtimeError)}))
def test_error_code_is_documented(code: str) -> None:
    assert f"`{code}`" in text("docs/errors.md")


def test_documented_error_codes_exist() -> None:
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| \d", text("docs/errors.md"), re.MULTILINE)
    told = {code for row in rows for code in re.findall(r"\w+", row)}
    django_rest_framework = {"method_not_allowed", "not_acceptable", "unsupported_media_type"}

    assert told - django_rest_framework == {kind.code for kind in subclasses(RealtimeError)} | {
        "internal_error"
    }


@pytest.mark.parametrize("code", list(CloseCode))
def test_close_code_is_documented(code: CloseCode) -> None:
    assert f"| {code} |" in text("docs/errors.md")


def event_types() -> list[str]:
    import typing_indicator.consumers  # noqa: F401 (all three define events of their own)

    return sorted(
        {
            str(kind.__struct_config__.tag)
            for kind in subclasses(Event)
            if kind.__struct_config__.tag and str(kind.__struct_config__.tag).islower()
        }
    )


@pytest.mark.parametrize("event_type", event_types())
def test_event_type_is_documented(event_type: str) -> None:
    assert re.search(rf'"{event_type}"|`{event_type}`', text("docs/protocols/native.md"))


def api_paths(patterns: list[URLPattern | URLResolver], prefix: str = "") -> Iterator[str]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from api_paths(pattern.url_patterns, route)
        else:
            yield route


def test_every_path_of_the_api_is_documented() -> None:
    shown = text("docs/protocols/native.md")
    paths = {path for path in api_paths(get_resolver().url_patterns) if path.startswith("api/")}
    last_words = {
        [part for part in path.split("/") if part and not part.startswith("<")][-1] for path in paths
    }

    assert {word for word in last_words if word not in shown} == set()


@pytest.mark.parametrize("name", sorted(name for name in vars(Conf) if name.startswith("limit_")))
def test_limit_is_documented(name: str) -> None:
    assert f"| `{name.upper()}` |" in text("docs/settings.md")


def test_every_examination_of_the_doctor_is_documented() -> None:
    autodiscover_modules("doctor")
    rows = re.findall(r"^\| `(\w+\.\w+)` \|", text("docs/operations/doctor.md"), re.MULTILINE)

    assert sorted(rows) == sorted(
        each.name for each in registered() if each.name.partition(".")[0] in PRODUCT
    )


def test_tests_that_show_an_answer_to_a_threat_exist() -> None:
    named = re.findall(r"`(tests/\S+?)::(\w+)`", text("docs/threats.md"))

    assert [f"{file}::{name}" for file, name in named if f"def {name}(" not in text(file)] == []


def test_every_threat_has_an_answer_and_a_test() -> None:
    rows = re.findall(r"^\| S(\d+) \|(.*)\|(.*)\|$", text("docs/threats.md"), re.MULTILINE)

    assert [int(number) for number, *_ in rows] == list(range(1, 31))
    assert all("::" in shown or "Not applicable" in answer for _, answer, shown in rows)


LINK = re.compile(r"\]\(([^)#\s]+)(?:#([^)\s]+))?\)")


@pytest.mark.parametrize(
    "document", sorted(str(p.relative_to(ROOT)) for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
)
def test_links_lead_somewhere(document: str) -> None:
    here = ROOT / document
    dead = [
        link
        for link, _ in LINK.findall(here.read_text())
        if "://" not in link and not (here.parent / link).resolve().exists()
    ]

    assert dead == []


def test_every_module_says_what_lives_in_it() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for package in PRODUCT
        if apps.is_installed(package) or package == "config"
        for path in (ROOT / package).rglob("*.py")
        if "migrations" not in path.parts
        and path.read_text().strip()
        and not path.read_text().lstrip().startswith('"""')
    ]

    assert silent == []
