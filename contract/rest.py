"""JSON Schemas of what REST shows, as its OpenAPI document describes the same serializers.

They are cut down to what readers of frames understand, in Draft 7 and in 2020-12, and closed as frames are:
every field and no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ComponentRegistry
from rest_framework.generics import GenericAPIView
from rest_framework.serializers import ListSerializer

from contract.components import SCHEMAS, Schema

#: Stands in front of the names that components have in the OpenAPI document.
REST = "rest."
#: What is kept of a schema besides what has schemas inside.
_KEPT = (
    *("type", "format", "enum", "const", "pattern"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    *("minLength", "maxLength", "minItems", "maxItems"),
)


def shown(shape: Any) -> tuple[Schema, dict[str, Schema]]:
    """The schema of what a serializer shows, and of the objects in it; `null` where there is none."""
    if shape is None:
        return {"type": "null"}, {}
    writer = AutoSchema()
    writer.view, writer.registry = GenericAPIView(request=None), ComponentRegistry()
    is_list = isinstance(shape, ListSerializer)
    component = writer.resolve_serializer(shape.child if is_list else shape, "response")
    found = writer.registry.build({})["schemas"]
    one = closed(component.ref)
    return {"type": "array", "items": one} if is_list else one, {
        REST + name: closed(schema) for name, schema in found.items()
    }


def closed(schema: Mapping[str, Any]) -> Schema:
    """A schema of the OpenAPI document as the contract of the sockets has it."""
    words = schema.get("description", "").partition("* `")[0].strip()  # what follows repeats the enum
    described = {"description": words} if words else {}
    match schema:
        case {"allOf": [inner]}:  # a reference, with something said beside it
            return closed(inner) | described
        case {"oneOf": [*choices]} | {"anyOf": [*choices]}:
            return described | {"anyOf": [closed(choice) for choice in choices]}
        case {"$ref": str(reference)}:
            return described | {"$ref": SCHEMAS + REST + reference.rpartition("/")[2]}
        case {"type": [*kinds]}:
            bare = {name: value for name, value in schema.items() if name != "description"}
            return described | {"anyOf": [_of_type(kind, bare) for kind in kinds]}
    return described | _of_type(schema.get("type"), schema)


def _of_type(kind: str | None, schema: Mapping[str, Any]) -> Schema:
    if kind == "null":
        return {"type": "null"}
    cut = {name: schema[name] for name in _KEPT if name in schema}
    if kind is not None:
        cut["type"] = kind
    if kind in ("integer", "number"):
        cut.pop("format", None)  # how many bits: no limit of what is told
    if "enum" in cut:
        cut["enum"] = [value for value in cut["enum"] if value is not None]  # null is a choice of its own
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), Mapping):
            cut[name] = closed(schema[name])
    if "properties" in schema:
        cut["properties"] = {name: closed(field) for name, field in schema["properties"].items()}
        cut |= {"required": list(schema["properties"]), "additionalProperties": False}
    return cut
