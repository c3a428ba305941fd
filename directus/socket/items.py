"""The frame `items`: rows read and written over the socket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from directus import items
from directus.errors import InvalidCollectionError, InvalidPayloadError
from directus.items import SYSTEM, Answer

#: Keys of one frame.
MAX_KEYS = 1_000


def obey(user_id: int | None, fields: Mapping[str, Any]) -> Answer:
    """Do what a frame asks. In a thread; it uses the database."""
    name, action = fields.get("collection"), fields.get("action")
    if not isinstance(name, str):
        raise InvalidPayloadError("`collection` is the name of a collection")
    if name.startswith(SYSTEM):
        raise InvalidCollectionError
    key, keys, query = _key(fields.get("id")), _keys(fields.get("ids")), fields.get("query")
    if not isinstance(query, dict | None):
        raise InvalidPayloadError("`query` is an object")
    data, asked = fields.get("data"), query or {}
    match action:
        case "create":
            return items.create(user_id, name, data, asked)
        case "read":
            return items.read(user_id, name, key=key, keys=keys, query=asked)
        case "update":
            return items.update(user_id, name, data, key=key, keys=keys, query=asked)
        case "delete":
            return items.delete(user_id, name, key=key, keys=keys, query=query)
    raise InvalidPayloadError("`action` is one of create, read, update, delete")


def _key(given: Any) -> Any:
    if given is not None and (isinstance(given, bool) or not isinstance(given, str | int)):
        raise InvalidPayloadError("`id` is a key: a text or a number")
    return given


def _keys(given: Any) -> list[Any] | None:
    if given is None:
        return None
    if not isinstance(given, list) or len(given) > MAX_KEYS:
        raise InvalidPayloadError(f"`ids` is a list of at most {MAX_KEYS} keys")
    return [_key(each) for each in given if each is not None]
