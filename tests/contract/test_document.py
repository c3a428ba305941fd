"""The document describes every frame and command of the sockets, and is valid AsyncAPI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from django.core.management import call_command

from config.ws_routing import websocket_urlpatterns
from contract import asyncapi, codes
from contract.sockets import sockets
from contract.validation import Contract
from realtime import CloseCode, Connection, Event
from tests.programs import asyncapi_schema
from tests.test_docs import subclasses

#: Events on a user's own topic for the server's own sockets: no client is sent them.
STEERING = {
    "account_disabled",
    "cursors_moved",
    "session_revoked",
    "sharing_changed",
    "user_renamed",
}
#: Apps whose sockets speak the protocol of another server, which has its own description.
FOREIGN = {"directus", "supabase"}
#: What their processes tell each other.
BETWEEN_PROCESSES = {
    "presence_alive",
    "presence_asked",
    "presence_changed",
    "presence_gone",
    "presence_told",
    "supabase_broadcast",
}
#: Told on the topic of a watched table: whole rows and what concerns its watchers, which no client is sent.
ROWS = {"rights_changed", "changes_missed", "row_changed"}

DOCUMENT = asyncapi.document()
MESSAGES = [
    (channel, key, message)
    for channel, described in DOCUMENT["channels"].items()
    for key, message in described["messages"].items()
]


def told() -> set[str]:
    """The types of all frames that a socket sends."""
    return {
        DOCUMENT["channels"][name]["messages"][reference["$ref"].rpartition("/")[2]]["name"]
        for name in DOCUMENT["channels"]
        for reference in DOCUMENT["operations"][f"{name}.tell"]["messages"]
    }


def consumers() -> dict[str, type[Connection]]:
    found = {}
    for route in websocket_urlpatterns:
        consumer: Any = getattr(route.callback, "consumer_class", None)
        if consumer is not None and consumer.__module__.partition(".")[0] not in FOREIGN:
            found[f"/{route.pattern}"] = consumer
    return found


def test_every_socket_of_ours_is_described() -> None:
    assert {socket.consumer for socket in sockets()} == set(consumers().values())
    assert len(DOCUMENT["channels"]) == len(consumers())


def test_every_event_is_told_on_a_socket_or_steers_the_server() -> None:
    tags = {str(each.__struct_config__.tag) for kind in subclasses(Event) for each in kind.variants()}
    tags = {tag for tag in tags if tag.islower()}  # a base class of others has no type of its own

    assert tags - told() == STEERING | ROWS | BETWEEN_PROCESSES
    assert told() - tags == set()


@pytest.mark.parametrize("consumer", consumers().values(), ids=lambda consumer: consumer.kind)
def test_every_command_is_described_and_so_is_every_answer(consumer: type[Connection]) -> None:
    operations = DOCUMENT["operations"]
    described = {
        name.partition(".")[2]
        for name, operation in operations.items()
        if name.startswith(f"{consumer.kind}.") and operation["action"] == "receive"
    }

    assert described == set(consumer.commands)
    messages = DOCUMENT["channels"][consumer.kind]["messages"]
    for name, command in consumer.commands.items():
        answers = {answer.__name__ for event in command.answers for answer in event.variants()}
        replies = operations[f"{consumer.kind}.{name}"]["reply"]["messages"]
        told = {reference["$ref"].rpartition("/")[2] for reference in replies}
        assert answers < told <= set(messages), name  # an error may answer each of them


@pytest.mark.parametrize(("channel", "key", "message"), MESSAGES, ids=lambda value: str(value)[:40])
def test_every_message_has_an_example_that_fits(channel: str, key: str, message: dict[str, Any]) -> None:
    schema = {**message["payload"], "components": DOCUMENT["components"]}
    validator = jsonschema_rs.validator_for(
        {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, validate_formats=True
    )

    assert message["examples"]
    for example in message["examples"]:
        validator.validate(example["payload"])
    assert message["summary"], "its class has no docstring"


@pytest.mark.parametrize("draft", [jsonschema_rs.Draft202012, jsonschema_rs.Draft7])
def test_every_schema_is_one_in_the_drafts_that_readers_know(draft: int) -> None:
    checks = {
        jsonschema_rs.Draft202012: jsonschema_rs.Draft202012Validator,
        jsonschema_rs.Draft7: jsonschema_rs.Draft7Validator,
    }
    for schema in DOCUMENT["components"]["schemas"].values():
        checks[draft]({**schema, "components": DOCUMENT["components"]})


@pytest.mark.acceptance  # Node packages are not there in the fast set
@pytest.mark.stack("small")
def test_document_is_valid_asyncapi() -> None:
    official = jsonschema_rs.Draft7Validator(json.loads(asyncapi_schema().read_text()))

    official.validate(DOCUMENT)
    assert not official.is_valid(DOCUMENT | {"channels": {"chat": {"where": "/"}}})


def objects(value: Any) -> Iterator[dict[str, Any]]:
    match value:
        case dict():
            yield value
            for each in value.values():
                yield from objects(each)
        case list():
            for each in value:
                yield from objects(each)


def test_every_reference_leads_somewhere() -> None:
    for value in objects(DOCUMENT):
        if isinstance(reference := value.get("$ref"), str):
            found: Any = DOCUMENT
            for step in reference.removeprefix("#/").split("/"):
                found = found[step]


def test_told_frames_have_no_field_that_is_not_described() -> None:
    for channel in DOCUMENT["channels"]:
        for reference in DOCUMENT["operations"][f"{channel}.tell"]["messages"]:
            message = DOCUMENT["channels"][channel]["messages"][reference["$ref"].rpartition("/")[2]]
            schema = DOCUMENT["components"]["schemas"][message["payload"]["$ref"].rpartition("/")[2]]
            assert schema["additionalProperties"] is False


def test_codes_are_closed_lists() -> None:
    assert DOCUMENT["components"]["schemas"]["ErrorCode"]["enum"] == sorted(codes.errors())
    assert set(DOCUMENT["x-error-codes"]) == set(codes.errors())
    assert set(DOCUMENT["x-close-codes"]) == {str(int(code)) for code in CloseCode}


def test_command_prints_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("asyncapi")

    assert json.loads(capsys.readouterr().out) == DOCUMENT


def test_document_is_the_same_each_time() -> None:
    assert asyncapi.document() == DOCUMENT
    assert len(Contract(DOCUMENT).channels) == len(DOCUMENT["channels"])
