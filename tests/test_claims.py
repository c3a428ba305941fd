"""Numbers of the documents are those of the code.

A number is followed by the name of its constant, in a comment that a reader does not see:

    at most 64<!-- chat.send_queue.MAX_BATCH --> drafts
    closed after 10 s<!-- LIMIT_PONG_SECONDS -->

A name is a dotted one, a setting (`LIMIT_…`), or a product (` * `) or sum (` + `) of such. `measured` stands
behind a figure that comes from a measurement, and `elsewhere` behind one that another program decides.
"""

from __future__ import annotations

import ast
import datetime as dt
import math
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import pytest

from proof.history import FINAL
from realtime.defaults import Conf
from realtime.errors import CloseCode, RealtimeError
from tests.test_docs import PAGES, subclasses, text, without_code

WORDS = {
    word: number
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve".split()  # noqa: SIM905
    )
} | {"twenty": 20, "hundred": 100}
UNITS = {
    "ms": 0.001,
    "s": 1,
    "second": 1,
    "seconds": 1,
    "minutes": 60,
    "hours": 3600,
    "days": 86400,
    "bytes": 1,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}
_QUANTITY = rf"([\d,.]*\d|[A-Za-z]+)(?: ({'|'.join(UNITS)})\b)?"
CLAIM = re.compile(rf"{_QUANTITY}[`*]*\s*<!-- ([\w.]+(?: [*+] [\w.]+)*) -->")
#: These stand behind a figure that no constant of ours decides.
OTHERS = ("measured", "elsewhere")

#: Pages on which every size and time in prose is marked where it comes first.
EXACT = [page for page in PAGES if re.match(r"docs/(errors\.md|protocols/|subsystems/)", page)]
#: A size or a time, and whether it is marked.
MEASURE = re.compile(r"(?<![\d.,])(\d[\d,.]* (?:ms|s|minutes|hours|days|KiB|MiB|GiB))\b(\s*<!-- )?")

#: Constants that clients or operators are told of, on whatever page.
TOLD = """
    LIMIT_MESSAGE_BYTES LIMIT_BODY_BYTES LIMIT_HEAD_BYTES LIMIT_CONTENT LIMIT_OUTBOX_BYTES
    LIMIT_PING_SECONDS LIMIT_PONG_SECONDS LIMIT_UNFINISHED_SECONDS LIMIT_MISTAKES.burst
    LIMIT_CONTROL_FRAMES.count LIMIT_FRAGMENTS.count
    realtime.defaults.Conf.max_depth realtime.defaults.Conf.replay_page
    realtime.defaults.Conf.head_check_batch realtime.defaults.Conf.head_check_seconds
    realtime.defaults.Conf.write_timeout_seconds
    realtime.defaults.Conf.log_retention realtime.servers.MAX_FRAGMENTS realtime.servers.heads.MAX_HEADERS
    realtime.servers.heads.MAX_TARGET_BYTES realtime.servers.unheard.SMALL_FRAGMENT_BYTES
    realtime.hub.pages.PAGE_SIZE realtime.hub.hub.DRAIN_SPREAD_SECONDS realtime.fields.MAX_REF_LENGTH
    realtime.database.time_budget.PROMISE_SECONDS realtime.chores.FIRST_SECONDS
    native.consumer.MAX_SUBSCRIPTIONS native.feeds.DEFAULT_SNAPSHOT native.feeds.MAX_SNAPSHOT
    native.waiting.AUTH_SECONDS chat.native.mine.MAX_CONVERSATIONS
    chat.selectors.conversations.DEFAULT_PAGE chat.selectors.conversations.MAX_PAGE
    chat.services.messages.MAX_EDITS chat.send_queue.MAX_BATCH chat.send_queue.MAX_WAITING
    changes.registry.MAX_NAME_LENGTH changes.rows.LONGEST
    chat.cursors.PERIOD_SECONDS chat.cursors.MAX_WAITING_OF_USER chat.notifier.ROUND_SECONDS
    notifications.idempotency.KEPT accounts.services.REUSE_GRACE accounts.tickets.TICKET_TTL_SECONDS
    typing_indicator.events.COALESCE_SECONDS typing_indicator.events.TYPING_TTL_SECONDS
""".split()  # noqa: SIM905


def constant(name: str) -> Any:
    """The value of a dotted name or a setting."""
    setting = re.match(r"LIMIT_[A-Z_]+", name)
    if setting:
        name = f"realtime.defaults.Conf.{setting[0].lower()}{name[setting.end() :]}"
    value = pkgutil.resolve_name(name)
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    return value / 1000 if name.endswith("_MS") else value


def numbers_in(value: Any) -> Iterator[float]:
    """A number, or those of a collection, one of which is meant."""
    if isinstance(value, dict):
        value = value.values()
    if isinstance(value, (int, float)):
        yield value
    elif value is not None:
        for part in value:
            yield from numbers_in(part)


def is_true(number: str, unit: str, name: str) -> bool:
    """Whether the number on a page is that of the code."""
    said = WORDS.get(number.lower()) or float(number.replace(",", "")) * UNITS.get(unit, 1)
    sign = "+" if " + " in name else "*"
    parts = [constant(each) for each in name.split(f" {sign} ")]
    together = sum if sign == "+" else math.prod
    values = numbers_in(parts[0] if len(parts) == 1 else together(parts))
    return any(math.isclose(said, value) for value in values)


def claims(page: str) -> list[tuple[str, str, str]]:
    return CLAIM.findall(without_code(text(page)))


@pytest.mark.parametrize("page", PAGES)
def test_marked_numbers_are_those_of_the_code(page: str) -> None:
    markdown = without_code(text(page))
    found = claims(page)
    wrong = [
        f"{number} {unit}: {name}"
        for number, unit, name in found
        if name not in OTHERS and not is_true(number, unit, name)
    ]

    assert wrong == []
    assert len(found) == markdown.count("<!-- "), "a mark stands behind a number, and names a constant"


@pytest.mark.parametrize("page", EXACT)
def test_sizes_and_times_of_reference_pages_are_marked(page: str) -> None:
    prose = re.sub(r"`[^`]*`|^#.*$|\[[^\]]*\]\(", "", without_code(text(page)), flags=re.MULTILINE)
    said = MEASURE.findall(prose)

    assert {measure for measure, _ in said} - {measure for measure, mark in said if mark} == set()


def test_constants_that_are_told_are_marked_somewhere() -> None:
    named = {part for page in PAGES for *_, name in claims(page) for part in re.split(r" [*+] ", name)}

    assert [name for name in TOLD if name not in named] == []


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head and the line of dashes."""
    _, _, below = text(page).partition(f"{heading}\n")
    table = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)
    assert table is not None
    lines = [re.sub(r" *<!-- .*? -->", "", line) for line in table[0].splitlines()[2:]]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_errors_have_the_documented_status() -> None:
    told = {
        code: int(status)
        for heading in ("## Codes", "## Codes of the Directus dialect")
        for codes, status, *_ in rows("docs/errors.md", heading)
        for code in re.findall(r"\w+", codes)
    }

    assert {
        kind.code: (kind.status, told.get(kind.code))
        for kind in subclasses(RealtimeError)
        if kind.status != told.get(kind.code)
    } == {}


def test_documents_and_clients_agree_which_close_codes_invite_to_come_back() -> None:
    table = {int(code): cell for code, *_, cell in rows("docs/errors.md", "## Close codes")}
    ours = {code: cell for code, cell in table.items() if code >= 4000}
    final = {code for code, cell in ours.items() if not cell.startswith("yes")}

    assert set(CloseCode) <= set(table)
    assert [kind for kind in subclasses(RealtimeError) if kind.retryable and kind.close_with in final] == []
    assert {int(code) for code in re.findall(r"4\d{3}", CloseCode.__doc__ or "")} == final
    [snippet] = re.findall(r"\[([\d, ]+)\]\.includes\(e\.code\)", text("docs/guide.md"))
    assert {int(code) for code in snippet.split(",")} == final
    assert FINAL | {CloseCode.REPLACED} == final  # the clients of the proof; nobody is replaced yet


def defaults(page: str) -> dict[str, str]:
    """The documented default of each variable."""
    return dict(re.findall(r"^\| `([A-Z_]+)` \| `?(.*?)`? \|", page, re.MULTILINE))


def test_settings_have_the_documented_defaults() -> None:
    told = defaults(text("docs/settings.md").partition("## All of them")[2])
    limits = {name.upper(): str(vars(Conf)[name]) for name in vars(Conf) if name.startswith("limit_")}
    example = dict(re.findall(r"^([A-Z_]+)=(.+)$", text(".env.example"), re.MULTILINE))

    assert {name: told[name] for name in limits if name not in told or told[name] != limits[name]} == {}
    assert {name: told[name] for name in example if name in told and told[name] != example[name]} == {}


def test_readme_has_the_defaults_of_the_settings() -> None:
    told = defaults(text("docs/settings.md").partition("## All of them")[2])
    short = {
        name: default.strip("` ")
        for names, cell, _ in rows("README.md", "## Settings")
        for name, default in zip(re.findall(r"[A-Z_]{4,}", names), re.split(r",|:(?= )", cell), strict=False)
    }
    checked = (
        "ACCESS_TOKEN_TTL",
        "REFRESH_TOKEN_TTL",
        "LIMIT_SENDS",
        "LANGUAGE_CODE",
        "DEBUG",
        "DEMO_ENABLED",
    )

    assert {name: short.get(name) for name in checked} == {name: told[name] for name in checked}


def test_measured_figures_of_the_readme_stand_in_their_reports() -> None:
    """A row links to its report; those of the first table share the one that is linked above it."""
    section = text("README.md").partition("## What it does that others do not\n")[2].partition("\n## ")[0]
    [shared] = re.findall(r"\((docs/proof/2[\d-]+\.md)", section)
    measured = re.findall(r"^\| [^|]*\| ([^|]*\d[^|]*) \| ([^|]*) \|$", section, re.MULTILINE)

    assert len(measured) > 8
    missing = {}
    for figures, last in measured:
        linked = re.findall(r"\((\S+\.md)\)", last)
        cells = figures if linked else f"{figures} {last}"
        report = text(linked[0] if linked else shared)
        for figure in re.findall(r"\d[\d,.]*\d|\d", re.sub(r"\b99 of 100\b", "", cells)):
            if not re.search(rf"(?<![\d.,]){re.escape(figure)}(?![\d,]|\.\d)", report):
                missing[figure] = linked or shared
    assert missing == {}


def test_sizes_and_seconds_are_counted_right() -> None:
    limits = [name for name, *_ in rows("docs/settings.md", "### Limits")]
    [count] = re.findall(r"The first (\w+) are sizes\s+and seconds", text("docs/settings.md"))

    assert WORDS[count] == limits.index("`LIMIT_MISTAKES`")


def bounds() -> dict[str, tuple[int, int]]:
    """The smallest and the largest number that each setting takes, as `config/settings.py` asks for them."""
    found = {}
    for call in ast.walk(ast.parse(text("config/settings.py"))):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "env.integer":
            keywords = {str(each.arg): ast.literal_eval(each.value) for each in call.keywords}
            name = ast.literal_eval(call.args[0])
            found[name] = (keywords.get("minimum", 1), keywords["maximum"])
    return found


def test_settings_take_the_documented_numbers() -> None:
    told: dict[str, tuple[float, float]] = {}
    limits = rows("docs/settings.md", "### Limits")
    for (name, *_, meaning), following in zip(limits, [*limits[1:], ["", ""]], strict=True):
        number = r"([\d,]*\d)(?: (.iB))?"
        pair = re.search(rf"[Ff]rom {number} to {number}(, as the next)?", meaning)
        if pair:
            least, unit, most, its_unit, and_next = pair.groups()
            numbers = [(least, unit), (most, its_unit)]
            low, high = (float(n.replace(",", "")) * UNITS.get(u, 1) for n, u in numbers)
            for each in (name, following[0]) if and_next else (name,):
                told[each.strip("`")] = (low, high)

    assert len(told) > 12
    assert {name: each for name, each in told.items() if bounds()[name] != each} == {}
