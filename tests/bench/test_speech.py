"""The generator's messages are valid WebSocket frames, and are recognised when they come back."""

import json
import struct

import pytest

from bench import speech, wire

pytestmark = pytest.mark.stack("small")


def payload_of(frame: bytes) -> bytes:
    assert frame[1] & 0x80, "a client must mask"
    length = frame[1] & 0x7F
    header = 2
    if length == 126:
        (length,), header = struct.unpack("!H", frame[2:4]), 4
    elif length == 127:
        (length,), header = struct.unpack("!Q", frame[2:10]), 10
    mask, payload = frame[header : header + 4], frame[header + 4 :]
    assert len(payload) == length
    return bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_frame_holds_its_payload(size):
    assert payload_of(wire.frame(b"x" * size)) == b"x" * size


@pytest.mark.parametrize("style", ["plain", "acknowledged", "event", "native"])
def test_command_is_json_of_one_length_and_says_who_and_when(style):
    early, late = (speech.command(style, 7, number, 5_000_000_000 + number) for number in (1, 99_999))
    said = json.loads(payload_of(late))
    content = said.get("message") or said["content"]

    assert speech.heard(content.encode(), 0, len(content)) == speech.Said(7, 99_999, 5_000_099_999)
    assert speech.said_at(late, 0, len(late)) == 5_000_099_999
    assert speech.marker(7) in late
    assert speech.marker(8) not in late
    assert len(content) == speech.TEXT_LENGTH
    assert len(early) == len(late)


def test_native_command_names_its_conversation():
    said = json.loads(payload_of(speech.command("native", 1, 2, 3, 42)))
    assert (said["type"], said["conversation_id"]) == ("send", 42)


def test_each_acknowledged_message_has_a_name_of_its_own():
    names = {
        json.loads(payload_of(speech.command("acknowledged", sender, number, now)))["client_id"]
        for sender in (1, 2)
        for number in (1, 2)
        for now in (10, 20)
    }
    assert len(names) == 8


@pytest.mark.parametrize(
    "text", [b"", b"hello", b"ana@example.com wrote something that is long enough", b"@00001."]
)
def test_text_of_others_is_not_taken_for_ours(text):
    assert speech.heard(text, 0, len(text)) is None
    assert speech.said_at(text, 0, len(text)) == 0


@pytest.mark.parametrize(
    ("answer", "status"),
    [(b"HTTP/1.1 101 Switching", 101), (b"HTTP/1.1 403", 403), (b"", 0), (b"SSH-2.0-x", 0)],
)
def test_status_of_an_answer_is_read(answer, status):
    assert wire.status_of(answer) == status


def test_handshake_asks_for_what_it_needs():
    text = wire.handshake("/ws/?v=1", host="127.0.0.1:80", headers={"Origin": "http://127.0.0.1"}).decode()
    assert text.startswith("GET /ws/?v=1 HTTP/1.1\r\nHost: 127.0.0.1:80\r\n")
    assert "Origin: http://127.0.0.1\r\n" in text
    assert text.endswith("Sec-WebSocket-Version: 13\r\nOrigin: http://127.0.0.1\r\n\r\n")
