"""The data of the contract's page: the document turned into tables of fields."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from contract.asyncapi import Document
from contract.components import ERROR_CODE, SCHEMAS, Schema

#: A constraint in words, by its keyword in the schema.
_CONSTRAINTS = {
    "minimum": "from {}",
    "maximum": "to {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {}",
    "maxItems": "at most {}",
    "pattern": "like {}",
}


def contents(document: Document) -> dict[str, Any]:
    """The template's context: sockets with their commands and frames, and the closed lists."""
    schemas = document["components"]["schemas"]
    return {
        "title": document["info"]["title"],
        "introduction": document["info"]["description"].partition("\n\n")[2],
        "credentials": list(document["components"]["securitySchemes"].values()),
        "sockets": [_socket(name, document, schemas) for name in document["channels"]],
        "errors": [{"code": code, **error} for code, error in document["x-error-codes"].items()],
        "closes": [{"code": code, **close} for code, close in document["x-close-codes"].items()],
    }


def _socket(name: str, document: Document, schemas: Mapping[str, Schema]) -> dict[str, Any]:
    channel = document["channels"][name]
    told = {
        reference["$ref"].rpartition("/")[2]
        for reference in document["operations"][f"{name}.tell"]["messages"]
    }
    frames = {key: _frame(name, key, message, schemas) for key, message in channel["messages"].items()}
    for key, frame in frames.items():
        if key not in told:
            replies = document["operations"][f"{name}.{key}"]["reply"]["messages"]
            frame["answers"] = [frames[reply["$ref"].rpartition("/")[2]] for reply in replies]
    query = channel["bindings"]["ws"]["query"]
    return {
        "name": name,
        "address": channel["address"],
        "description": channel["description"],
        "parameters": [
            *(
                {"name": place, "about": about["description"]}
                for place, about in channel["parameters"].items()
            ),
            *({"name": f"?{field['name']}", "about": field["about"]} for field in _fields(query, schemas)),
        ],
        "asked": [frame for key, frame in frames.items() if key not in told],
        "told": [frame for key, frame in frames.items() if key in told],
    }


def _frame(
    socket: str, key: str, message: Mapping[str, Any], schemas: Mapping[str, Schema]
) -> dict[str, Any]:
    schema = schemas[message["payload"]["$ref"].removeprefix(SCHEMAS)]
    return {
        "anchor": f"{socket}.{key}",
        "type": message["name"],
        "is_for_guide": {"name": "guide"} in message.get("tags", []),
        "description": schema.get("description", ""),
        "example": json.dumps(message["examples"][0]["payload"], ensure_ascii=False),
        "fields": _fields(schema, schemas),
    }


def _fields(schema: Schema, schemas: Mapping[str, Schema]) -> list[dict[str, Any]]:
    """The fields of an object; a nested object's fields follow it under their path."""
    required = schema.get("required", ())
    shown = []
    for name, field in schema["properties"].items():
        row = {"name": name, "is_required": name in required, "about": _about(field)}
        shown.append(row)
        for inner in _objects(field, schemas):
            shown += [each | {"name": f"{name}.{each['name']}"} for each in _fields(inner, schemas)]
    return shown


def _objects(field: Schema, schemas: Mapping[str, Schema]) -> list[Schema]:
    """The nested objects that a field may hold."""
    found = []
    for choice in [*field.get("anyOf", [field]), *([field["items"]] if "items" in field else [])]:
        reference = choice.get("$ref", "").removeprefix(SCHEMAS)
        inner = schemas[reference] if reference else choice
        if inner.get("properties"):
            found.append(inner)
    return found


def _about(field: Schema) -> str:
    """A field's type, limits and description in words."""
    return ". ".join(part for part in (_kind(field), field.get("description", "").rstrip(".")) if part)


def _kind(field: Schema) -> str:
    match field:
        case {"$ref": str(name)}:
            return "an error code" if name == SCHEMAS + ERROR_CODE else "object"
        case {"anyOf": list(choices)}:
            return " or ".join(_kind(choice) for choice in choices)
        case {"const": value}:
            return json.dumps(value)
        case {"enum": list(values)}:
            return " or ".join(json.dumps(value) for value in values)
        case {"type": "array", "items": items}:
            return ", ".join([f"list: {_kind(items)}", *_limits(field)])
        case {"type": str(kind)}:
            return ", ".join([field.get("format", kind), *_limits(field)])
    return "anything"


def _limits(field: Schema) -> list[str]:
    return [
        words.format(field[keyword])
        for keyword, words in _CONSTRAINTS.items()
        if keyword in field and not (keyword == "pattern" and "format" in field)
    ]
