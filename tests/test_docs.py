"""Everything that exists is documented: every setting, error code, close code, event type and path."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.urls import URLPattern, URLResolver, get_resolver

import changes.items  # noqa: F401 - its errors are ours, and no app imports it yet
import directus.errors  # noqa: F401 - its errors are ours too
import supabase.errors
import supabase.socket.consumer  # noqa: F401 - as above
from doctor.examinations import registered
from realtime.defaults import Conf
from realtime.errors import CloseCode, RealtimeError
from realtime.events import Event

ROOT = Path(__file__).parent.parent
PRODUCT = (
    "realtime",
    "doctor",
    "guide_dialect",
    "native",
    "accounts",
    "changes",
    "notifications",
    "chat",
    "typing_indicator",
    "config",
    "demo",
    "contract",
    "directus",
    "supabase",
    "presence",
)


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
    shown = "".join(page.read_text() for page in ROOT.glob("docs/protocols/*.md"))

    assert re.search(rf'"{event_type}"|`{event_type}`', shown)


def api_paths(patterns: list[URLPattern | URLResolver], prefix: str = "") -> Iterator[str]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from api_paths(pattern.url_patterns, route)
        else:
            yield route


def test_every_path_of_the_api_is_documented() -> None:
    shown = text("docs/protocols/rest.md")
    paths = {path for path in api_paths(get_resolver().url_patterns) if path.startswith("api/")}
    last_words = {
        [part for part in path.split("/") if part and not part.startswith("<")][-1] for path in paths
    }

    assert {word for word in last_words if word not in shown} == set()


@pytest.mark.parametrize("name", sorted(name for name in vars(Conf) if name.startswith("limit_")))
def test_limit_is_documented(name: str) -> None:
    assert f"| `{name.upper()}` |" in text("docs/settings.md")


def test_every_examination_of_the_doctor_is_documented() -> None:
    rows = re.findall(r"^\| `(\w+\.\w+)` \|", text("docs/operations/doctor.md"), re.MULTILINE)

    assert sorted(rows) == sorted(
        each.name for each in registered() if each.name.partition(".")[0] in PRODUCT
    )


def test_tests_that_show_an_answer_to_a_threat_exist() -> None:
    named = re.findall(r"`(tests/\S+?)::(\w+)`", text("docs/threats.md"))

    assert [f"{file}::{name}" for file, name in named if f"def {name}(" not in text(file)] == []


def test_every_threat_has_an_answer_and_a_test() -> None:
    rows = re.findall(r"^\| S(\d+) \|(.*)\|(.*)\|$", text("docs/threats.md"), re.MULTILINE)

    assert [int(number) for number, *_ in rows] == list(range(1, 32))
    assert all("::" in shown or "Not applicable" in answer for _, answer, shown in rows)


LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/*.md")]
)


def without_code(markdown: str) -> str:
    """The page without its blocks of code, whose comments and indices look like headings and links."""
    return re.sub(r"^ *```.*?^ *```", "", markdown, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page: its headings, spelled as GitHub spells them, and each `<a id>`."""
    found: dict[str, int] = {}
    markdown = without_code(page.read_text())
    named = set(re.findall(r'<a id="([^"]+)">', markdown))
    for heading in HEADING.findall(markdown):
        shown = re.sub(r"\]\([^)]*\)", "", heading)
        name = re.sub(r"[^\w -]", "", shown.lower()).replace(" ", "-")
        found[name] = found.get(name, -1) + 1
    return named | {f"{name}-{n}" if n else name for name, count in found.items() for n in range(count + 1)}


def links(document: str) -> list[tuple[str, Path, str]]:
    """The links of a document that lead to files of ours: the link as written, the file, and the anchor in
    it."""
    here = ROOT / document
    return [
        (f"{link}#{anchor}" if anchor else link, (here.parent / link).resolve() if link else here, anchor)
        for link, anchor in LINK.findall(without_code(here.read_text()))
        if "://" not in link
    ]


@pytest.mark.parametrize("document", PAGES)
def test_links_lead_somewhere(document: str) -> None:
    dead = [
        written
        for written, page, anchor in links(document)
        if not page.exists() or (anchor and page.suffix == ".md" and anchor not in anchors(page))
    ]

    assert dead == []


def test_every_page_is_found_from_the_readme() -> None:
    """A page without a link to it is read by nobody."""
    found, unread = set[Path](), [ROOT / "README.md"]
    while unread:
        page = unread.pop()
        found.add(page)
        for _, target, _ in links(str(page.relative_to(ROOT))):
            index = target / "README.md" if target.is_dir() else target
            if index.suffix == ".md" and index.exists() and index not in found:
                unread.append(index)

    assert [page for page in PAGES if ROOT / page not in found] == []


#: A file or a folder of ours, or the name of a file, as prose writes it.
PATH = re.compile(
    rf"`((?:{'|'.join(PRODUCT)}|tests|proof|bench|scripts|docs)/[\w./-]*|[\w-]+\.(?:py|md|toml|yml|yaml|js))(?:::\w+)?`"
)
#: Pages that must name existing files; reports of a day name the files of that day.
LIVING = [page for page in PAGES if not re.match(r"docs/proof/\d", page)]


@pytest.fixture(scope="module")
def file_names() -> set[str]:
    """The names of all files of the repository, without their folders."""
    ours = (*PRODUCT, "tests", "proof", "bench", "scripts", "docs")
    below = {path.name for folder in ours for path in (ROOT / folder).rglob("*.*")}
    return below | {path.name for path in ROOT.iterdir()}


@pytest.mark.parametrize("document", LIVING)
def test_named_files_exist(document: str, file_names: set[str]) -> None:
    here = (ROOT / document).parent
    missing = [
        path
        for path in PATH.findall(without_code(text(document)))
        if path not in file_names
        and not any((there / f"{path}{ending}").exists() for there in (ROOT, here) for ending in ("", ".py"))
    ]

    assert missing == []


@pytest.mark.parametrize("document", LIVING)
def test_links_that_show_a_path_lead_to_it(document: str) -> None:
    shown = re.findall(r"\[`([\w./-]+\.(?:py|md|js|yml|json))`\]\(([^)#\s]+)", without_code(text(document)))
    here = (ROOT / document).parent

    assert [path for path, target in shown if not str((here / target).resolve()).endswith(f"/{path}")] == []


#: Apps with a shape of their own in the map: a row that names `<app>/…` is true of some of them.
APPS = ("accounts", "chat", "notifications", "typing_indicator")


def test_paths_that_the_map_names_exist() -> None:
    named = re.findall(
        r"`((?:[a-z_]+|<app>)/(?:[a-z_]+/)*(?:[a-z_]+(?:\.py)?)?)`", text("docs/architecture.md")
    )
    missing = [
        path
        for path in named
        if not any(
            (ROOT / (there + ending)).exists()
            for app in APPS
            for there in [path.replace("<app>", app)]
            for ending in ("", ".py")
        )
    ]

    assert len(named) > 40
    assert missing == []


def test_map_draws_the_rooms_as_the_linter_holds_them() -> None:
    _, _, after = text("docs/architecture.md").partition("## The rooms of the core\n\n```\n")
    rows = [re.split(r" {3,}", row.strip())[0] for row in after.partition("```")[0].splitlines()]
    drawn = [re.findall(r"[a-z_]+/?", row) for row in rows]

    contracts = tomllib.loads(text("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    [layers] = [each["layers"] for each in contracts if each.get("containers") == ["realtime"]]
    held = [re.findall(r"\w+", layer) for layer in layers if layer != "apps | management"]  # Django's own

    assert [[name.rstrip("/") for name in row] for row in drawn] == held
    for name in (name for row in drawn for name in row):
        assert (ROOT / "realtime" / name.rstrip("/")).is_dir() == name.endswith("/"), name


def test_map_draws_the_packages_as_the_linter_holds_them() -> None:
    picture = text("docs/architecture.md").partition("## The rooms of the core")[0]
    drawn = re.findall(r"(\w+)/  ", picture)
    [layers] = [
        each["layers"]
        for each in tomllib.loads(text("pyproject.toml"))["tool"]["importlinter"]["contracts"]
        if each["name"] == "Packages import downwards"
    ]

    assert drawn == [name for layer in layers for name in layer.split(" | ")]


def test_map_leads_to_every_page() -> None:
    """Pages of the documents' own folders; decisions and dated reports have an index each."""
    _, _, read_on = text("docs/architecture.md").partition("## Read on")
    pages = [
        page for page in PAGES if re.match(r"docs/([a-z]+|(operations|protocols|subsystems)/\w+)\.md$", page)
    ]

    assert [page for page in pages if page != "docs/architecture.md" and f"({page[5:]})" not in read_on] == []


def test_index_leads_to_every_page_once() -> None:
    """Each page has one kind. Decisions and dated reports are led to by an index of their own."""
    kinds, _, _ = text("docs/README.md").partition("## Asked often")
    led_to = [target for _, target, anchor in links("docs/README.md") if not anchor]
    here = (ROOT / "docs").resolve()
    pages = [ROOT / page for page in PAGES if re.match(r"docs/(?!adr/0|proof/2|README)", page)]

    assert [page for page in pages if page.resolve() not in led_to] == []
    rows = re.findall(r"^\|.*\]\(([^)]*\.md)\)[^|]*\|", kinds, re.MULTILINE)
    ours = [row for row in rows if (here / row).resolve().is_relative_to(here)]
    assert sorted({row for row in ours if ours.count(row) > 1}) == []


def test_index_has_the_four_kinds() -> None:
    assert HEADING.findall(text("docs/README.md"))[1:5] == ["Tutorial", "How to", "Reference", "Explanation"]


def test_dated_reports_are_led_to_by_their_index() -> None:
    index = {target for _, target, _ in links("docs/proof/README.md")}

    assert [page for page in PAGES if "docs/proof/2" in page and (ROOT / page).resolve() not in index] == []


def test_decisions_are_numbered_once_and_listed_in_order() -> None:
    files = sorted(path.name for path in (ROOT / "docs/adr").glob("0*.md"))
    numbers = [name[:4] for name in files]

    assert len(set(numbers)) == len(numbers)
    assert re.findall(r"^\| \[(\d{4})\]\((\S+)\) \|", text("docs/adr/README.md"), re.MULTILINE) == list(
        zip(numbers, files, strict=True)
    )


@pytest.mark.parametrize("document", PAGES)
def test_lines_fit_a_screen(document: str) -> None:
    """Rows of tables are as long as they have to be, and so are addresses."""
    lines = enumerate(text(document).splitlines(), start=1)

    assert [
        number
        for number, line in lines
        if len(line) > 120 and not line.lstrip().startswith("|") and "://" not in line
    ] == []


def contrast(one: str, other: str) -> float:
    """How well a colour reads on another, by WCAG 2: from 1 to 21."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_picture_reads_in_light_and_dark() -> None:
    """It brings its own ground, so that it does not matter on which page it stands."""
    light, dark = text("docs/relais.svg").split("@media (prefers-color-scheme: dark)")

    for scheme in (light, dark):
        rules = re.findall(r"((?:\.\w+(?:, )?)+) \{ fill: (#[0-9a-f]{6})", scheme)
        fill = {name: colour for names, colour in rules for name in re.findall(r"\w+", names)}
        drawn = {"name": "panel", "note": "panel", "bad": "panel", "on": "dot", "in": "box"}

        assert {
            words: ground for words, ground in drawn.items() if contrast(fill[words], fill[ground]) < 4.5
        } == {}


def test_picture_keeps_the_promise_it_draws() -> None:
    """Each person is told the numbers of the log in order, once; who is removed, up to there."""
    groups = re.findall(r'<g id="(\w+)">(.*?)</g>', text("docs/relais.svg"), re.DOTALL)
    told = {
        who: [int(n) for n in re.findall(r'class="(?:on|in)"[^>]*>(\d)<', drawn)] for who, drawn in groups
    }

    assert told.pop("log") == list(range(1, 10))
    assert told.pop("redis") == []
    assert told == {"bruno": list(range(1, 10)), "clara": list(range(1, 10)), "dan": list(range(1, 7))}


def test_changes_are_told_once_under_one_heading_each() -> None:
    """Merged branches each bring their own heading, and an entry that both had comes twice."""
    _, *releases = re.split(r"^## ", text("CHANGELOG.md"), flags=re.MULTILINE)
    for release in releases:
        headings = re.findall(r"^### (.+)$", release, re.MULTILINE)
        entries = re.findall(r"^- .*(?:\n  .*)*", release, re.MULTILINE)

        assert headings == [
            kind for kind in ("Added", "Changed", "Fixed", "Wire", "Security") if kind in headings
        ]
        assert [entry for entry in set(entries) if entries.count(entry) > 1] == []
        assert "\n\n- " not in re.sub(r"(### .+\n)\n", r"\1", release), "entries stand apart"


def test_lines_of_the_log_that_a_page_quotes_are_written() -> None:
    """A quoted line may leave out a part, as `…`, and end with a number or a reason."""
    section = text("docs/operations.md").partition("## Logs\n")[2].partition("### Why a connection")[0]
    quoted = re.findall(r"`([A-Z][a-z]* [^`]*[a-z][^`]*)`", section)
    parts = [part.strip(" .") for line in quoted for part in re.split(r"…|-?\d+", line) if len(part) > 5]
    source = "".join(path.read_text() for package in PRODUCT for path in (ROOT / package).rglob("*.py"))

    assert len(quoted) > 4
    assert [part for part in parts if part not in source] == []


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
