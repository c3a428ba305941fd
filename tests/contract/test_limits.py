"""The limits in the contract are the server's: a command at a limit is obeyed, one just beyond it is
refused."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from asgiref.sync import sync_to_async

from contract import asyncapi
from realtime.testing import TestSocket
from tests.factories import make_conversation

#: The codes that say that a frame is of the wrong shape.
OF_SHAPE = {"invalid_frame", "invalid_json", "invalid_text", "message_too_long", "empty_message"}

#: Left out: `auth` is the first frame or a mistake, and a `pong` is not answered.
UNASKED = {("native", "auth"), ("native", "pong")}

DOCUMENT = asyncapi.document()


class Probe(NamedTuple):
    """A command with one field at its limit, or just beyond it."""

    channel: str
    frame: dict[str, Any]
    is_allowed: bool
    about: str

    def __str__(self) -> str:
        return f"{self.channel}: {self.about}"


def edges(field: dict[str, Any]) -> Iterator[tuple[Any, bool, str]]:
    """Values at the limits of a field and beyond them, whether each is allowed, and a word for it."""
    for choice in field.get("anyOf", [field]):
        match choice:
            case {"type": "integer", "minimum": low, "maximum": high}:
                yield from ((low, True, "lowest"), (low - 1, False, "too low"))
                yield from ((high, True, "highest"), (high + 1, False, "too high"))
            case {"type": "string", "maxLength": most}:
                yield from (("é" * most, True, "longest"), ("é" * (most + 1), False, "too long"))
                if choice.get("minLength"):
                    yield ("", False, "empty")
            case {"type": "array", "items": items, "minItems": least, "maxItems": most}:
                [item, *_] = items.get("examples", ["name"])
                yield from (([item] * least, True, "shortest"), ([item] * (least - 1), False, "too short"))
                yield from (([item] * most, True, "longest"), ([item] * (most + 1), False, "too many"))
        if "pattern" in choice and "maxLength" in choice:
            yield ("\x00", False, "a control character")


def probes() -> Iterator[Probe]:
    for channel, described in DOCUMENT["channels"].items():
        for key, message in described["messages"].items():
            if DOCUMENT["operations"].get(f"{channel}.{key}", {}).get("action") != "receive":
                continue
            if (channel, key) in UNASKED:
                continue
            schema = DOCUMENT["components"]["schemas"][message["payload"]["$ref"].rpartition("/")[2]]
            for name, field in schema["properties"].items():
                for value, is_allowed, about in edges(field):
                    frame = copy.deepcopy(message["examples"][0]["payload"]) | {name: value}
                    yield Probe(channel, frame, is_allowed, f"{key}.{name} {about}")
            for name in set(schema.get("required", ())) - {"type"}:
                frame = {k: v for k, v in message["examples"][0]["payload"].items() if k != name}
                yield Probe(channel, frame, is_allowed=False, about=f"{key} without {name}")


PROBES = list(probes())


@pytest.fixture
def unlimited(settings: Any) -> None:
    limits = ("mistakes", "frames", "sends", "typing", "invitations", "rest")
    off = {f"limit_{name}": "off" for name in limits}
    settings.RELAIS = {**settings.RELAIS, **off}


def test_probes_reach_every_limit() -> None:
    assert {probe.channel for probe in PROBES} == set(DOCUMENT["channels"])
    assert len(PROBES) > 40


async def answer_of(socket: TestSocket, frame: dict[str, Any], _number: int) -> set[str]:
    """The code of a command's answer. On this socket each command has one, with its `ref` if that could be
    read."""
    while True:
        answer = await socket.receive()
        if "ref" in answer and (answer["ref"] == frame.get("ref") or answer["type"] == "error"):
            return {answer["code"]} if answer["type"] == "error" else set()


async def answers_before_a_pong(socket: TestSocket, _frame: dict[str, Any], number: int) -> set[str]:
    """The codes of all errors before the answer to a `ping`, which comes after the answers to earlier
    frames."""
    await socket.send({"type": "ping", "ref": f"after {number}"})
    codes = set()
    while (answer := await socket.receive()).get("ref") != f"after {number}":
        codes |= {answer["code"]} if answer["type"] == "error" else set()
    return codes


@pytest.mark.parametrize("channel", DOCUMENT["channels"])
async def test_server_and_contract_have_the_same_limits(ana, bruno, connect, unlimited, channel: str):
    conversation = await sync_to_async(make_conversation)(ana, bruno)
    path = DOCUMENT["channels"][channel]["address"].replace("{conversation_id}", str(conversation.pk))
    async with connect(ana, f"{path}?v=1") as socket:
        for number, probe in enumerate(probe for probe in PROBES if probe.channel == channel):
            frame = probe.frame if ".ref " in probe.about else {**probe.frame, "ref": number}
            await (socket.send if probe.is_allowed else socket.send_wrong)(frame)
            answered = answer_of if channel == "native" else answers_before_a_pong
            codes = await answered(socket, frame, number)

            if probe.is_allowed:
                assert codes.isdisjoint(OF_SHAPE), f"{probe}: allowed, and answered {codes}"
            else:
                assert codes, f"{probe}: not allowed, and obeyed"
