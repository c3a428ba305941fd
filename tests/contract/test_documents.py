"""The pages of `docs/protocols/` and the contract agree: each printed frame fits, and none is left out.

A page may shorten: `…` stands for anything, `<uuid>` for something of that kind, and a `position` may be
missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import jsonschema_rs
import pytest

from contract import asyncapi
from tests.newcomer.documents import blocks
from tests.servers import ROOT

PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs/protocols").glob("*.md"))
DOCUMENT = asyncapi.document()
SCHEMAS = DOCUMENT["components"]["schemas"]
#: Every frame of the contract by its type; the default command of a socket also without a type.
MESSAGES = [message for channel in DOCUMENT["channels"].values() for message in channel["messages"].values()]

_INLINE = re.compile(r"`(\{[^`]+\})`")
_PROMPT = re.compile(r"^[<>] (\{.*\})$", re.MULTILINE)


class Printed(NamedTuple):
    """A frame as a page prints it."""

    page: str
    text: str
    frame: dict[str, Any]
    #: The frame has more fields, as its `…` says.
    is_shortened: bool

    def __str__(self) -> str:
        return f"{self.page}: {self.text[:60]}"


def frames_of(page: str) -> Iterator[Printed]:
    """The JSON objects of a page: in its blocks, its tables, and its terminal sessions."""
    markdown = (ROOT / page).read_text()
    texts = [block.text for block in blocks(page) if block.language == "json"]
    texts += _INLINE.findall(re.sub(r"```.*?```", "", markdown, flags=re.DOTALL))
    texts += _PROMPT.findall(markdown)
    for text in texts:
        yield from _objects(page, text)


def _objects(page: str, text: str) -> Iterator[Printed]:
    reader, position = json.JSONDecoder(), 0
    readable = re.sub(r",\s*…\s*}", ',"…":"…"}', text)
    readable = re.sub(r"\[…\]", '["…"]', readable).replace("{…}", '{"…":"…"}')
    while (position := readable.find("{", position)) >= 0:
        try:
            frame, position = reader.raw_decode(readable, position)
        except ValueError:  # a shape without values, such as `{"access","refresh"}`: no frame
            return
        yield Printed(page, text, frame, "…" in frame)


def fits(printed: Printed, message: dict[str, Any]) -> bool:
    """Whether a printed frame is this message, once the parts it leaves out are taken from the example."""
    schema = SCHEMAS[message["payload"]["$ref"].rpartition("/")[2]]
    complete = message["examples"][0]["payload"]
    fields = {name: value for name, value in printed.frame.items() if name != "…"}
    if not fields.keys() <= schema["properties"].keys():
        return False
    left_out = set(schema["required"]) - fields.keys()
    if not printed.is_shortened and not left_out <= {"position"}:
        return False
    filled = {
        name: complete[name] if _is_open(value) else value for name, value in ({**complete, **fields}).items()
    }
    return bool(jsonschema_rs.is_valid({**message["payload"], "components": DOCUMENT["components"]}, filled))


def _is_open(value: object) -> bool:
    """Whether a value stands for any of its kind."""
    if isinstance(value, list):
        return any(map(_is_open, value))
    return isinstance(value, str) and ("…" in value or bool(re.fullmatch(r"<.+>", value)))


def kinds_of(frame: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages that a frame may be: by its type, or one of the default commands."""
    if "type" in frame:
        return [message for message in MESSAGES if message["name"] == frame["type"]]
    return [
        message
        for message in MESSAGES
        if "type" not in SCHEMAS[message["payload"]["$ref"].rpartition("/")[2]].get("required", ["type"])
    ]


def is_a_frame(printed: Printed) -> bool:
    """Whether it is a frame, not the body of a REST request, which has no type and no field that a socket
    knows."""
    return "type" in printed.frame or any(fits(printed, message) for message in kinds_of(printed.frame))


PRINTED = [printed for page in PAGES for printed in frames_of(page) if is_a_frame(printed)]


def test_pages_print_frames() -> None:
    assert len(PRINTED) > 25


@pytest.mark.parametrize("printed", PRINTED, ids=str)
def test_frame_that_a_page_prints_is_one_of_the_contract(printed: Printed) -> None:
    known = kinds_of(printed.frame)

    assert known, f"no frame has the type {printed.frame.get('type')!r}"
    assert any(fits(printed, message) for message in known), printed.text


def test_every_frame_and_every_command_is_named_on_a_page() -> None:
    text = "\n".join((ROOT / page).read_text() for page in PAGES)
    names = {message["name"] for message in MESSAGES}

    assert {name for name in names if f'"type":"{name}"' not in text and f"`{name}`" not in text} == set()


_RESULT = re.compile(r"^\| `(\{[^`]+\})` \| `(\{[^`]+\})` \|$", re.MULTILINE)


def results() -> list[tuple[str, list[str]]]:
    """The commands of the native socket's page, each with the fields that the page says its `result` has."""
    text = (ROOT / "docs/protocols/native.md").read_text()
    return [
        (re.findall(r'"type":"([^"]+)"', asked)[0], re.findall(r'"(\w+)":', shown))
        for asked, shown in _RESULT.findall(text)
        if '"type":"pong"' not in shown
    ]


@pytest.mark.parametrize(("command", "fields"), results(), ids=str)
def test_result_that_a_page_prints_has_the_fields_of_the_contract(command: str, fields: list[str]) -> None:
    message = DOCUMENT["channels"]["native"]["messages"][f"{command}.result"]
    shown = SCHEMAS[message["payload"]["$ref"].rpartition("/")[2]]["properties"]["result"]

    assert set(fields) == set(SCHEMAS[shown["$ref"].rpartition("/")[2]]["properties"])


def test_pages_print_results() -> None:
    assert len(results()) == 6
