"""The AsyncAPI document: every socket, its commands, and all frames that it sends.

It is made from the tables of commands and the classes of frames that the consumers list. A consumer of any
app is included if it has a route and lists its `commands` and `frames`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from contract import codes, schemas
from contract.components import ERROR_CODE, SCHEMAS, Schema
from contract.examples import example_of
from contract.sockets import Socket, sockets
from realtime import Command, Commands, ErrorTold, Event, InvalidFrameError

Document = dict[str, Any]

#: The ways to authenticate, by name, each as an AsyncAPI security scheme.
CREDENTIALS: dict[str, dict[str, Any]] = {
    "header": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "`Authorization: Bearer <access token>`, for programs.",
    },
    "subprotocol": {
        "type": "httpApiKey",
        "in": "header",
        "name": "Sec-WebSocket-Protocol",
        "description": "The subprotocol `bearer.<access token>`, beside `relais.v1`: for browsers.",
    },
    "ticket": {
        "type": "httpApiKey",
        "in": "query",
        "name": "ticket",
        "description": "A ticket of `POST /api/ws-ticket/`: for browsers, good for one handshake.",
    },
    "token": {
        "type": "httpApiKey",
        "in": "query",
        "name": "token",
        "description": "An access token, as the Channels guide has it. It stands in logs on the way.",
    },
}

_DESCRIPTION = """\
The sockets of Relais. REST is described by [OpenAPI](/api/docs/).

Frames are JSON objects in text frames. Ids are integers below 2⁵³; moments are RFC 3339 in UTC, ending \
in `Z`. What you send may hold fields that the server does not know. What it sends holds those of this \
document and no others, and a later version may add some: ignore what you do not know. Frames with the \
tag `guide` are told to every client, the others to those that opted in: by `?v=1`, by `?since=`, by the \
subprotocol `relais.v1`, or by using what the Channels guide does not have."""


def document(of: Iterable[Socket] | None = None) -> Document:
    """The contract of these sockets, or of all sockets of the project."""
    writer = _Writer()
    for socket in sockets() if of is None else of:
        writer.add(socket)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Relais", "version": "1", "description": _DESCRIPTION},
        "defaultContentType": "application/json",
        "servers": {
            "secure": _server("wss", "This server behind TLS."),
            "plain": _server("ws", "This server on one's own machine."),
        },
        "channels": writer.channels,
        "operations": writer.operations,
        "components": {
            "schemas": dict(sorted(writer.schemas.items())),
            "securitySchemes": CREDENTIALS,
        },
        "x-error-codes": codes.error_table(),
        "x-close-codes": codes.close_table(),
    }


def _server(protocol: str, description: str) -> dict[str, Any]:
    return {
        "host": "{host}",
        "protocol": protocol,
        "description": description,
        "variables": {"host": {"default": "localhost:8000", "description": "Where this document is served."}},
        "security": [_ref("components", "securitySchemes", name) for name in CREDENTIALS],
    }


def _ref(*path: str) -> dict[str, str]:
    return {"$ref": "/".join(["#", *path])}


class _Writer:
    """Collects channels, operations and schemas, one socket after the other."""

    def __init__(self) -> None:
        self.channels: dict[str, Any] = {}
        self.operations: dict[str, Any] = {}
        self.schemas: dict[str, Schema] = {
            ERROR_CODE: {
                "type": "string",
                "description": "Why something was refused.",
                "enum": list(codes.errors()),
                "examples": [InvalidFrameError.code],
            }
        }

    def add(self, socket: Socket) -> None:
        consumer, channel = socket.consumer, socket.name
        told = list(dict.fromkeys([*_variants(consumer.frames), *_answers(consumer.commands)]))
        for_guide = set(_variants(getattr(consumer, "guide_frames", ())))
        default = getattr(getattr(consumer, "guide", None), "default_command", None)
        # Keyed by class name, since several classes may share a type.
        messages = {event.__name__: self._told(event, is_guide=event in for_guide) for event in told}
        for event in consumer.enveloped():
            assert event.__name__ not in messages, f"{event.__name__} is told with and without an envelope"
            messages[event.__name__] = self._told(event, channel, consumer.envelope)
        asked = {
            name: self._asked(channel, name, command, is_default=name == default)
            for name, command in consumer.commands.items()
        }
        self.channels[channel] = {
            "address": socket.address,
            "title": socket.address,
            "description": _words(consumer),
            "parameters": {
                name: {"description": f"The id of a {name.removesuffix('_id')}.", "examples": ["123"]}
                for name in socket.places
            },
            "messages": {**asked, **messages},
            "bindings": {"ws": {"method": "GET", "query": _query(socket), "bindingVersion": "0.1.0"}},
        }
        where = ("channels", channel, "messages")
        for name, command in consumer.commands.items():
            answers = [*_answers({name: command}), *(e for e in told if issubclass(e, ErrorTold))]
            self.operations[f"{channel}.{name}"] = {
                "action": "receive",
                "channel": _ref("channels", channel),
                "summary": asked[name]["summary"],
                "messages": [_ref(*where, name)],
                "reply": {
                    "channel": _ref("channels", channel),
                    "messages": [_ref(*where, event.__name__) for event in answers],
                },
            }
        self.operations[f"{channel}.tell"] = {
            "action": "send",
            "channel": _ref("channels", channel),
            "summary": "What the server tells.",
            "messages": [_ref(*where, key) for key in messages],
        }

    def _told(
        self,
        event: type[Event],
        owner: str = "",
        around: type[msgspec.Struct] | None = None,
        *,
        is_guide: bool = False,
    ) -> dict[str, Any]:
        name = f"{owner or event.__module__.partition('.')[0]}.{event.__name__}"
        message = self._message(str(event.__struct_config__.tag), name, *schemas.told(event, around))
        return message | ({"tags": [{"name": "guide"}]} if is_guide else {})

    def _asked(self, channel: str, name: str, command: Command, *, is_default: bool) -> dict[str, Any]:
        described = schemas.asked(name, command.fields, is_default=is_default)
        return self._message(name, f"{channel}.{name}", *described)

    def _message(
        self, name: str, schema_name: str, schema: Schema, inner: dict[str, Schema]
    ) -> dict[str, Any]:
        for component, each in {**inner, schema_name: schema}.items():
            assert self.schemas.setdefault(component, each) == each, f"two schemas are called {component}"
        return {
            "name": name,
            "summary": schema.get("description", "").partition("\n")[0],
            "payload": {"$ref": SCHEMAS + schema_name},
            "examples": [{"payload": example_of(schema, self.schemas)}],
        }


def _variants(events: Iterable[type[Event]]) -> list[type[Event]]:
    return [variant for event in events for variant in event.variants()]


def _answers(commands: Commands) -> list[type[Event]]:
    return _variants(event for command in commands.values() for event in command.answers)


def _words(kind: type[Any]) -> str:
    return (kind.__doc__ or "").strip().partition("\n")[0]


def _query(socket: Socket) -> Schema:
    named = {
        name: {"type": "string", "description": CREDENTIALS[name]["description"]}
        for name in ("token", "ticket")
    }
    if socket.consumer.parameters is not None:
        named |= schemas.parameters(socket.consumer.parameters)["properties"]
    return {"type": "object", "properties": named}
