"""JSON Schemas of frames, made from the classes that the server encodes and decodes them with.

The server's frames are described strictly: every field and no other. A client's frame may have fields that
the server does not know. The schemas mean the same in Draft 7, which AsyncAPI assumes, and in 2020-12.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from contract import rest
from contract.components import ERROR_CODE, SCHEMAS, Schema
from realtime import Event, PositionText, Ref

#: Markers in fields, which stand for lists that are known only when all apps are ready.
_CLOSED_LISTS = {"error codes": ERROR_CODE}


def told(event: type[Event], around: type[msgspec.Struct] | None = None) -> tuple[Schema, dict[str, Schema]]:
    """The schema of a frame that the server sends, and the schemas of the structures in it.

    `around` holds the fields that an envelope puts before the event's own.
    """
    schema, inner = _described(event)
    properties = schema["properties"]
    properties["type"] = {"const": event.__struct_config__.tag}
    for name, known in event.known_fields.items():
        properties[name] |= known
    added = {name for name, each in properties.items() if each.pop("x-added", False)}
    if _is_kept(event) and "position" not in properties:
        properties["position"] = _described_type(PositionText)[0] | {
            "description": "Where it stands in its log."
        }
    required = [name for name in properties if name not in added]
    if around is not None:
        outer, more = _described(around)
        properties = {**outer["properties"], **properties}
        required = [*outer.get("required", ()), *required]
        inner |= more
    for each in inner.values():
        each["additionalProperties"] = False
        each["required"] = list(each["properties"])
    for name, shape in event.shown_fields.items():
        shown, more = rest.shown(shape)
        if shape is None:
            properties[name] = shown
        elif "default" in properties[name]:
            properties[name]["anyOf"] = [shown, {"type": "null"}]
        else:
            properties[name] |= {word: each for word, each in shown.items() if word != "description"}
        inner |= more
    for each in properties.values():
        each.pop("default", None)
    schema |= {"properties": properties, "required": required, "additionalProperties": False}
    return schema, inner


def asked(name: str, fields: type[msgspec.Struct], *, is_default: bool) -> tuple[Schema, dict[str, Schema]]:
    """The schema of a command, and of the structures in it; the socket's default command needs no `type`."""
    schema, inner = _described(fields)
    properties = {"type": {"const": name}, **schema.get("properties", {})}
    ref, _ = _described_type(Ref)
    properties.setdefault("ref", ref | {"description": "What you call it: comes back in the answer."})
    required = [*([] if is_default else ["type"]), *_required(schema)]
    for each in properties.values():
        if "default" in each and each["default"] is None:
            del each["default"]  # null means the same as leaving the field out
    schema |= {"properties": properties}
    schema.pop("required", None)
    return schema | ({"required": required} if required else {}), inner


def parameters(fields: type[msgspec.Struct]) -> Schema:
    """The schema of the query parameters of an address: texts, all optional."""
    schema, _ = _described(fields)
    properties = {}
    for name, field in schema["properties"].items():
        [text] = [choice for choice in field.pop("anyOf", [field]) if choice.get("type") == "string"]
        properties[name] = {
            keyword: value for keyword, value in {**field, **text}.items() if keyword != "default"
        }
    return {"type": "object", "properties": properties}


def _is_kept(event: type[Event]) -> bool:
    """Whether the log keeps the event, and so fills in `seq` and adds its position."""
    return any(field.name == "seq" and field.default == 0 for field in msgspec.structs.fields(event))


def _required(schema: Schema) -> Iterable[str]:
    """The required fields; a field is also required if its default is a value that no client could send."""
    for name, field in schema.get("properties", {}).items():
        may_be_left_out = "default" in field and (field["default"] is not None or _allows_null(field))
        if not may_be_left_out:
            yield name


def _allows_null(field: Mapping[str, Any]) -> bool:
    return field.get("type") in (None, "null") and any(
        choice.get("type") == "null" for choice in field.get("anyOf", [])
    )


def _described(kind: type[msgspec.Struct]) -> tuple[Schema, dict[str, Schema]]:
    """The schema of a class, described by its docstring, and the schemas of the classes in it."""
    (reference,), found = msgspec.json.schema_components([kind], ref_template=SCHEMAS + "{name}")
    schema = _with_closed_lists(found.pop(reference["$ref"].removeprefix(SCHEMAS)))
    inner = {name: _with_closed_lists(each) for name, each in found.items()}
    schema.pop("title", None)
    schema.pop("description", None)
    schema.setdefault("properties", {})
    words = inspect.cleandoc(kind.__doc__ or "")
    return ({"description": words} if words else {}) | schema, inner


def _described_type(kind: Any) -> tuple[Schema, dict[str, Schema]]:
    [schema], inner = msgspec.json.schema_components([kind], ref_template=SCHEMAS + "{name}")
    return schema, inner


def _with_closed_lists(value: Any) -> Any:
    match value:
        case {"x-closed-list": name}:
            return {"$ref": SCHEMAS + _CLOSED_LISTS[name]}
        case dict():
            return {name: _with_closed_lists(each) for name, each in value.items()}
        case list():
            return [_with_closed_lists(each) for each in value]
    return value
