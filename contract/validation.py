"""Compares frames with the contract, as the published document states it.

Needs `jsonschema_rs`, which the server does not: for tests, and for the programs of `proof/`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jsonschema_rs
import msgspec

from realtime import RealtimeError, parse_json

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


class Contract:
    """An AsyncAPI document of this project, with validators for its frames."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.channels = [_Channel(name, document) for name in document["channels"]]
        #: The server's frames in the contract, and those that were seen, as (channel, type).
        self.known = {(channel.name, kind) for channel in self.channels for kind in channel.told_types}
        self.seen: set[tuple[str, str]] = set()

    def channel_at(self, path: str) -> _Channel | None:
        """The channel of a path, which may have a query; None for a path outside the contract."""
        path = "/" + path.partition("?")[0].lstrip("/")
        return next((channel for channel in self.channels if channel.address.fullmatch(path)), None)

    def conversation(self, path: str, subprotocols: Sequence[str] = ()) -> Conversation:
        """The validation of one socket that is opened there; outside the contract every frame passes."""
        has_opted_in = "relais.v1" in subprotocols or bool(re.search(r"[?&](v=1(&|$)|since=)", path))
        return Conversation(self, self.channel_at(path), has_opted_in=has_opted_in)


@dataclass
class Conversation:
    """One socket, whose frames are validated in both directions."""

    contract: Contract
    channel: _Channel | None
    has_opted_in: bool = False
    #: The commands that are not answered yet, by their `ref`.
    asked: dict[int | str, list[str]] = field(default_factory=dict)

    def told(self, payload: str | bytes) -> str | None:
        """The flaw of a server's frame, or None."""
        if self.channel is None:
            return None
        frame, flaw = self.channel.flaw_of_told(payload, self.asked)
        if flaw is None:
            self.contract.seen.add((self.channel.name, frame["type"]))
            if self.channel.guide and not self.has_opted_in and frame["type"] not in self.channel.guide:
                return f"a client of the guide does not know {frame['type']}"
        return flaw

    def said(self, payload: str | bytes) -> str | None:
        """The flaw of a client's frame, or None."""
        if self.channel is None:
            return None
        frame, flaw = self.channel.flaw_of_said(payload)
        name, ref = self.channel.name_of(frame), frame.get("ref")
        if name is not None and isinstance(ref, (int, str)):
            self.asked.setdefault(ref, []).append(name)
        # A guide client sends one frame per socket, with one field; any other frame opts in.
        self.has_opted_in = self.has_opted_in or len(frame) > 1 or "type" in frame
        return flaw


class _Channel:
    """The validators of one socket's frames."""

    def __init__(self, name: str, document: Mapping[str, Any]) -> None:
        channel = document["channels"][name]
        told = {
            reference["$ref"].rpartition("/")[2]
            for reference in document["operations"][f"{name}.tell"]["messages"]
        }
        self.name = name
        place = re.compile(r"\\\{\w+\\\}")
        self.address = re.compile(place.sub("[^/]+", re.escape(channel["address"])))
        self.guide: set[str] = set()
        #: Validators of what is told, by type and by the name of the message; and the answers of commands.
        self._told: dict[str, dict[str, Any]] = defaultdict(dict)
        self._answers: dict[str, set[str]] = {}
        self._said: dict[str, Any] = {}
        self._default: str | None = None
        for key, message in channel["messages"].items():
            schema = {"$schema": _DRAFT, **message["payload"], "components": document["components"]}
            validator = jsonschema_rs.validator_for(schema, validate_formats=True)
            if key in told:
                self._told[message["name"]][key] = validator
                if {"name": "guide"} in message.get("tags", ()):
                    self.guide.add(message["name"])
            else:
                self._said[key] = validator
                reply = document["operations"][f"{name}.{key}"]["reply"]["messages"]
                self._answers[key] = {answer["$ref"].rpartition("/")[2] for answer in reply}
                reference = message["payload"]["$ref"].rpartition("/")[2]
                if "type" not in document["components"]["schemas"][reference]["required"]:
                    self._default = key

    @property
    def told_types(self) -> Collection[str]:
        """The types of the server's frames here."""
        return self._told.keys()

    def flaw_of_told(
        self, payload: str | bytes, asked: dict[int | str, list[str]]
    ) -> tuple[dict[str, Any], str | None]:
        """A server's frame, and its flaw; the command that it answers is taken out of `asked`."""
        try:
            frame = msgspec.json.decode(payload)
        except (msgspec.DecodeError, UnicodeError) as error:
            return {}, f"no JSON: {error}"
        if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
            return {}, "no object with a type"
        known = self._told.get(frame["type"])
        if known is None:
            return frame, f"unknown type {frame['type']!r}"
        ref = frame.get("ref")
        waiting = asked.get(ref, []) if isinstance(ref, (int, str)) else []
        if waiting:
            answers = set[str]().union(*(self._answers[name] for name in waiting))
            known = {key: validator for key, validator in known.items() if key in answers}
            if not known:
                return frame, f"{frame['type']!r} is no answer to {' or '.join(waiting)}"
        fitting = {key for key, validator in known.items() if validator.is_valid(frame)}
        if not fitting:
            return frame, " | ".join(_first_flaw(validator, frame) for validator in known.values())
        answered = {name for name in waiting if self._answers[name] & fitting}
        if len(answered) == 1:  # else it is not known which of the commands with this ref was answered
            waiting.remove(answered.pop())
        return frame, None

    def flaw_of_said(self, payload: str | bytes) -> tuple[dict[str, Any], str | None]:
        try:
            frame = parse_json(payload)
        except RealtimeError as error:
            return {}, error.message
        name = self.name_of(frame)
        if name is None:
            return frame, f"unknown command {str(frame.get('type'))[:50]!r}"
        validator = self._said[name]
        return frame, None if validator.is_valid(frame) else _first_flaw(validator, frame)

    def name_of(self, frame: Mapping[str, Any]) -> str | None:
        """The command of a client's frame; None where there is none of this name."""
        name = frame.get("type", self._default)
        return name if isinstance(name, str) and name in self._said else None


def _first_flaw(validator: Any, frame: Any) -> str:
    error = next(validator.iter_errors(frame))
    where = ".".join(map(str, error.instance_path))
    return f"{where}: {error.message[:300]}" if where else str(error.message[:300])
