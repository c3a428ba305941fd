"""The OpenAPI document is written for clients: everything in it is explained, and every example is right."""

from __future__ import annotations

import copy
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]  # it has none
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from rest_framework.test import APIClient

from accounts import examples as accounts
from accounts import tokens
from accounts.models import User
from accounts.throttling import RegistrationThrottle
from chat.services import Draft, create_conversation, send_messages
from chat.services.sends import Sent
from notifications.services import notify
from realtime.http.problems import PROBLEM_JSON
from tests.factories import make_user

SERVICE_KEY = "a-service-key-of-at-least-32-characters"
JSON = "application/json"

#: Internal names and words of the code, which mean nothing to a client. A name in CamelCase is one of ours.
CODE = re.compile(
    r"\b(?!WebSockets?\b|JavaScript\b)[A-Z][a-z]+(?:[A-Z][a-z]+)+\b"
    r"|\b\w+\.py\b|\b_\w+|``"
    r"|\b(?:self|viewer|serializer|queryset|docstring|view|Django|DRF|framework|kwargs|None|True|False|TODO)s?\b"
)


#: Words with which a summary must not begin, because they do not say what to do.
NO_VERBS = {"A", "An", "Everybody", "Everything", "How", "I", "My", "One", "The", "What", "Who", "With"}


class Operation(NamedTuple):
    """One method of one path, as the document describes it."""

    path: str
    method: str
    told: dict[str, Any]

    def __str__(self) -> str:
        return str(self.told["operationId"])

    @property
    def request(self) -> dict[str, Any] | None:
        body = self.told.get("requestBody")
        return None if body is None else body["content"][JSON]


def document() -> dict[str, Any]:
    return dict(SchemaGenerator().get_schema(request=None, public=True))


DOCUMENT = document()
OPERATIONS = [
    Operation(path, method, told)
    for path, methods in DOCUMENT["paths"].items()
    for method, told in methods.items()
]
every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=str)


def resolved(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer, with a reference to the components resolved."""
    if "$ref" in answer:
        answer = DOCUMENT["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    return answer


# --- everything is explained ----------------------------------------------------------------------------


def is_text(text: object) -> bool:
    return isinstance(text, str) and text.strip() == text and len(text) > 4 and text[-1] in ".:?"


@every_operation
def test_operation_is_summed_up_and_described(operation: Operation) -> None:
    summary = operation.told["summary"]

    assert 2 <= len(summary.split()) <= 9
    assert summary.split()[0] not in NO_VERBS, "it begins with what the operation does"
    assert summary[0].isupper()
    assert summary[-1] != "."
    assert is_text(operation.told["description"])
    assert operation.told["description"] != summary


@every_operation
def test_parameters_and_answers_are_described(operation: Operation) -> None:
    parts = [*operation.told.get("parameters", []), *map(resolved, operation.told["responses"].values())]

    assert [part for part in parts if not is_text(part.get("description"))] == []


def test_shapes_are_described() -> None:
    shapes = {
        name: schema
        for name, schema in DOCUMENT["components"]["schemas"].items()
        if schema.get("type") == "object"
    }

    assert len(shapes) > 20
    assert [name for name, schema in shapes.items() if not is_text(schema.get("description"))] == []


@every_operation
def test_operation_has_a_tag_that_is_described(operation: Operation) -> None:
    told = {tag["name"]: tag["description"] for tag in DOCUMENT["tags"]}

    assert len(operation.told["tags"]) == 1
    assert is_text(told[operation.told["tags"][0]])
    assert set(told) == {other.told["tags"][0] for other in OPERATIONS}


def test_document_says_which_api_it_describes() -> None:
    info = DOCUMENT["info"]

    assert is_text(info["description"].strip())
    assert info["license"] == {"name": "MIT", "identifier": "MIT"}
    assert "contact" not in info
    assert [server["url"] for server in DOCUMENT["servers"]] == ["/"]


def prose(node: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Every text for people in a document, with its place."""
    if isinstance(node, list):
        for number, item in enumerate(node):
            yield from prose(item, f"{where}/{number}")
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in ("summary", "description") and isinstance(value, str):
                yield f"{where}/{key}", value
            elif key not in ("value", "example", "default", "enum"):
                yield from prose(value, f"{where}/{key}")


def test_nothing_is_told_in_words_of_the_code() -> None:
    spoken = {where: found[0] for where, text in prose(DOCUMENT) if (found := CODE.search(text)) is not None}

    assert spoken == {}


@pytest.mark.parametrize(
    "text",
    [
        "The viewer's conversations.",
        "Base of MemberSerializer.",
        "See `api.py`.",
        "What self is.",
        "None for nobody.",
        "A serializer of rows.",
    ],
)
def test_words_of_the_code_are_found(text: str) -> None:
    assert CODE.search(text)


def docstrings(patterns: list[URLPattern | URLResolver]) -> Iterator[str]:
    """The docstrings of the API's views and their methods, which are for readers of the code."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from docstrings(pattern.url_patterns)
        elif (view := getattr(pattern.callback, "view_class", None)) is not None:
            methods = [getattr(view, name, None) for name in ("get", "post", "put", "patch", "delete")]
            yield from filter(None, (inspect.getdoc(each) for each in (view, *methods) if each))


def test_no_docstring_of_a_view_is_told() -> None:
    internal = set(docstrings(get_resolver().url_patterns))

    assert len(internal) > 10
    assert [where for where, text in prose(DOCUMENT["paths"]) if text in internal] == []


# --- who may ask --------------------------------------------------------------------------------------


def test_operations_say_which_credentials_they_take() -> None:
    taken = {str(operation): [set(way) for way in operation.told["security"]] for operation in OPERATIONS}
    bearer = {name for name, ways in taken.items() if ways == [{"bearer"}]}
    others = {name: ways for name, ways in taken.items() if name not in bearer}

    assert others == {
        "register": [set()],
        "sign_in": [set()],
        "refresh": [set()],
        "sign_out": [{"bearer"}, set()],
        "notifications_send": [{"serviceKey"}],
    }
    assert len(bearer) > 15


def test_credentials_are_explained() -> None:
    schemes = DOCUMENT["components"]["securitySchemes"]

    assert schemes["bearer"] | {"description": ""} == {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "",
    }
    assert schemes["serviceKey"] | {"description": ""} == {
        "type": "apiKey",
        "in": "header",
        "name": "X-Api-Key",
        "description": "",
    }
    assert all(is_text(scheme["description"]) for scheme in schemes.values())


# --- examples -----------------------------------------------------------------------------------------


class Example(NamedTuple):
    """An example, with the place of its schema."""

    value: Any
    pointer: str


def examples_in(media: Mapping[str, Any], *path: str) -> Iterator[Example]:
    pointer = "/".join(part.replace("~", "~0").replace("/", "~1") for part in (*path, "schema"))
    for example in media.get("examples", {}).values():
        yield Example(example["value"], pointer)


def examples_of(operation: Operation) -> Iterator[tuple[str, list[Example]]]:
    """The JSON bodies that an operation takes and gives, with their examples."""
    at = ("paths", operation.path, operation.method)
    if operation.request is not None:
        yield "request", list(examples_in(operation.request, *at, "requestBody", "content", JSON))
    for status, answer in operation.told["responses"].items():
        place: tuple[str, ...] = (*at, "responses", status)
        if "$ref" in answer:
            place = ("components", "responses", answer["$ref"].rpartition("/")[2])
        for kind, media in resolved(answer).get("content", {}).items():
            yield status, list(examples_in(media, *place, "content", kind))


def strict(shapes: dict[str, Any]) -> dict[str, Any]:
    """The document, changed so that every known field is required in an answer, and no unknown one is allowed
    anywhere."""
    found = copy.deepcopy(shapes)
    for name, schema in found["components"]["schemas"].items():
        if "properties" in schema:
            schema["additionalProperties"] = False
        if not name.endswith("Request"):
            schema["required"] = sorted(schema.get("properties", {}).keys() - {"errors"})
    return found


def mistakes(value: Any, pointer: str, shapes: dict[str, Any]) -> list[str]:
    registry: Registry[Any] = Registry().with_resource("urn:openapi", DRAFT202012.create_resource(shapes))
    validator = Draft202012Validator(
        {"$ref": f"urn:openapi#/{pointer}"}, registry=registry, format_checker=FormatChecker()
    )
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


STRICT = strict(DOCUMENT)


@every_operation
def test_examples_are_of_their_shapes(operation: Operation) -> None:
    for what, examples in examples_of(operation):
        assert examples, f"{what} has no example"
        for example in examples:
            assert mistakes(example.value, example.pointer, STRICT) == [], what


@every_operation
def test_examples_of_parameters_are_of_their_shapes(operation: Operation) -> None:
    for number, parameter in enumerate(operation.told.get("parameters", [])):
        at = ("paths", operation.path, operation.method, "parameters", str(number))
        examples = list(examples_in(parameter, *at))
        assert examples or parameter["in"] == "query", parameter["name"]
        assert [mistakes(example.value, example.pointer, STRICT) for example in examples] == [[]] * len(
            examples
        )


@pytest.mark.parametrize("wrong", [{"content": 1}, {"unheard_of": 1}, {"seq": None}])
def test_example_that_is_wrong_is_found(wrong: dict[str, Any]) -> None:
    [message] = [
        examples[0].value["results"][0]
        for operation in OPERATIONS
        if str(operation) == "messages_list"
        for what, examples in examples_of(operation)
        if what == "200"
    ]
    pointer = "components/schemas/Message"
    incomplete = {name: value for name, value in message.items() if name != "position"}

    assert mistakes(message, pointer, STRICT) == []
    assert mistakes(message | wrong, pointer, STRICT) != []
    assert mistakes(incomplete, pointer, STRICT) != []


# --- examples are what happens ------------------------------------------------------------------------


class World:
    """Ana and Bruno, their conversations, and the ids that stand in place of those of the examples."""

    def __init__(self) -> None:
        self.ana = User.objects.create_user(username="ana", password=accounts.SIGN_IN["password"])
        bruno, _ = make_user("bruno"), make_user("clara")
        group = create_conversation(creator=self.ana, participants=[bruno], title="Project")
        [sent] = send_messages([Draft(group.pk, self.ana, "Bonjour !")])
        assert isinstance(sent, Sent)
        entry = notify(user=self.ana, kind="payment_completed", data={"payment_id": 789})
        self.pair = tokens.issue(self.ana)
        self.ids = {
            "conversation_id": group.pk,
            "message_id": sent.message_id,
            "user_id": bruno.pk,
            "notification_id": entry.pk,
            "session_id": tokens.identify(self.pair["access"]).session_id,
        }
        self.bruno = bruno

    def ask(self, operation: Operation, body: Any) -> Any:
        """The server's answer to a body like that of an example."""
        if isinstance(body, dict):
            body = body | {name: self.pair["refresh"] for name in body if name == "refresh"}
            if "users" in body:
                body = body | {"users": [self.ana.pk, self.bruno.username]}
        client = APIClient()
        if {"bearer"} in [set(way) for way in operation.told["security"]]:
            client.credentials(HTTP_AUTHORIZATION=f"Bearer {self.pair['access']}")
        if {"serviceKey"} in [set(way) for way in operation.told["security"]]:
            client.credentials(HTTP_X_API_KEY=SERVICE_KEY)
        return client.generic(
            operation.method.upper(),
            operation.path.format(**self.ids),
            "" if body is None else json.dumps(body),
            content_type=JSON,
        )


@pytest.fixture
def world(db: None, settings: Any) -> World:
    settings.RELAIS = {**settings.RELAIS, "service_api_keys": (SERVICE_KEY,)}
    RegistrationThrottle.buckets.clear()
    return World()


def shape(value: Any) -> Any:
    """The fields of a value without their contents; an empty list, or null, matches anything."""
    if isinstance(value, dict):
        return {name: shape(inside) for name, inside in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else None
    return None


def alike(told: Any, given: Any) -> bool:
    """Whether both have the same fields, where both have something."""
    if isinstance(told, dict) and isinstance(given, dict):
        return told.keys() == given.keys() and all(alike(told[name], given[name]) for name in told)
    if isinstance(told, list) and isinstance(given, list):
        return alike(told[0], given[0])
    return told is None or given is None


@every_operation
def test_example_is_answered_as_the_example_says(operation: Operation, world: World) -> None:
    bodies = [None]
    if operation.request is not None:
        bodies = [example["value"] for example in operation.request["examples"].values()]
    for body in bodies:
        answer = world.ask(operation, body)

        assert 200 <= answer.status_code < 300, answer.content
        told = operation.told["responses"][str(answer.status_code)]
        if "content" not in told:
            assert answer.content == b""
            continue
        examples = [example["value"] for example in told["content"][JSON]["examples"].values()]
        assert any(alike(shape(example), shape(answer.json())) for example in examples), answer.json()


# --- errors -------------------------------------------------------------------------------------------


def test_errors_are_told_once_each_with_their_code() -> None:
    answers = DOCUMENT["components"]["responses"]
    codes = {
        name: [example["value"]["code"] for example in answer["content"][PROBLEM_JSON]["examples"].values()]
        for name, answer in answers.items()
    }

    assert codes == {
        "AccountDisabled": ["account_disabled", "not_allowed"],
        "IdempotencyInProgress": ["idempotency_in_progress"],
        "IdempotencyMismatch": ["idempotency_mismatch"],
        "InvalidInput": ["invalid_input", "invalid_json"],
        "NotAParticipant": ["not_a_participant", "message_not_found"],
        "NotFound": ["not_found"],
        "Overloaded": ["overloaded", "unavailable"],
        "RateLimited": ["rate_limited"],
        "Unauthenticated": ["unauthenticated", "token_expired"],
    }
    assert {name for name, answer in answers.items() if "Retry-After" in answer.get("headers", {})} == {
        "Overloaded",
        "RateLimited",
    }


@every_operation
def test_error_is_of_the_status_that_its_example_says(operation: Operation) -> None:
    for status, answer in operation.told["responses"].items():
        for example in resolved(answer).get("content", {}).get(PROBLEM_JSON, {}).get("examples", {}).values():
            assert example["value"]["status"] == int(status)
