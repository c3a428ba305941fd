"""Examples of schemas, put together from the examples of their fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contract.components import SCHEMAS

#: The example of a field that has none of its own, by its format or its type.
_OF_FORMATS = {"date-time": "2026-12-01T10:30:00Z", "uuid": "0192f0c1-6c1e-7cc2-a1f5-3a1f0f5d9a01"}
_OF_TYPES: dict[str | None, Any] = {
    "string": "text",
    "integer": 1,
    "number": 1,
    "boolean": False,
    "array": [],
    "object": {},
}


def example_of(schema: Mapping[str, Any], schemas: Mapping[str, Mapping[str, Any]]) -> Any:
    """A value that the schema allows, with every field; `schemas` resolves its references."""
    if "const" in schema:
        return schema["const"]
    for values in (schema.get("examples"), schema.get("enum")):
        if values:
            return values[0]
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].removeprefix(SCHEMAS)], schemas)
    if "anyOf" in schema:
        return example_of(schema["anyOf"][0], schemas)
    if "properties" in schema:
        return {name: example_of(field, schemas) for name, field in schema["properties"].items()}
    if "items" in schema:
        return [example_of(schema["items"], schemas)]
    if schema.get("format") in _OF_FORMATS:
        return _OF_FORMATS[schema["format"]]
    return _OF_TYPES.get(schema.get("type"))
