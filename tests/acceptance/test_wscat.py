"""The guide's test from the command line: wscat from npm, against every kind of server."""

import pytest

from tests.acceptance.people import People
from tests.acceptance.wscat import Wscat
from tests.servers import ServerProcess, on_any_server

# Slow tests run on one stack each; what is tested here does not depend on it.
pytestmark = [pytest.mark.acceptance, pytest.mark.stack("small"), on_any_server]


@pytest.fixture
def chat(server: ServerProcess) -> str:
    """The address of the guide's command line, on the server under test."""
    return f"{server.ws_url}/ws/chat/123/"


def test_two_wscats_hold_a_conversation(chat: str, people: People):
    with (
        Wscat("-c", f"{chat}?token={people.token('ana')}") as ana,
        Wscat("-c", f"{chat}?token={people.token('bruno')}") as bruno,
    ):
        bruno.connects().types('{"message": "Is anybody there?"}')
        bruno.hears("Is anybody there?")

        ana.connects().types('{"message": "Hello"}')

        heard = bruno.reads()
        assert (heard["type"], heard["sender_username"], heard["content"]) == ("message", "ana", "Hello")
        assert ana.hears("Hello") == heard
        bruno.types('{"message": "Bonjour, ça va ?"}')
        assert ana.reads()["content"] == "Bonjour, ça va ?"
        assert bruno.reads()["content"] == "Bonjour, ça va ?"


def test_token_may_travel_as_subprotocol(chat: str, people: People):
    with Wscat("-c", chat, "-s", "relais.v1", "-s", f"bearer.{people.token('ana')}") as ana:
        ana.connects().types('{"message": "Hello", "ref": 7}')

        assert ana.hears("Hello")["sender_username"] == "ana"


def test_token_may_travel_in_a_header(chat: str, people: People):
    with Wscat("-c", chat, "-H", f"Authorization: Bearer {people.token('ana')}") as ana:
        ana.connects().types('{"message": "Hello"}')

        assert ana.reads()["content"] == "Hello"


def test_client_without_a_token_is_told_why_it_is_refused(chat: str):
    with Wscat("-c", chat) as nobody:
        why = nobody.reads()

        assert (why["type"], why["code"]) == ("error", "unauthenticated")
        assert nobody.is_told() == 4401


def test_wrong_json_is_answered_and_the_socket_lives(chat: str, people: People):
    with Wscat("-c", f"{chat}?token={people.token('ana')}") as ana:
        ana.connects().types("Hello")
        assert ana.reads()["code"] == "invalid_json"

        ana.types('{"message": "Hello"}')

        assert ana.reads()["content"] == "Hello"


def test_session_on_the_page_of_the_native_socket_can_be_typed(server: ServerProcess, people: People):
    with Wscat("-c", f"{server.ws_url}/ws/?token={people.token('ana')}") as ana:
        assert ana.connects().reads()["type"] == "hello"
        ana.types('{"type":"subscribe","topic":"conversation.123","snapshot":20}')
        assert ana.reads()["snapshot"]["results"]
        ana.types('{"type":"send","conversation_id":123,"message":"Bonjour"}')

        frames = [ana.reads(), ana.reads()]
        told = next(frame for frame in frames if frame["type"] == "message")
        assert (told["topic"], told["content"]) == ("conversation.123", "Bonjour")
        assert next(frame for frame in frames if frame["type"] == "ack")["seq"] == told["seq"]


def test_first_frame_of_the_native_socket_can_be_typed(server: ServerProcess, people: People):
    with Wscat("-c", f"{server.ws_url}/ws/") as ana:
        ana.connects().types(f'{{"type":"auth","token":"{people.token("ana")}","ref":1}}')

        assert ana.reads()["user"]["username"] == "ana"
