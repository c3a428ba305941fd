"""Any frame on the socket gets a stable code, the socket lives, and nothing unreadable is stored."""

import json

import pytest

from contract.testing import contract
from tests.chat.speaking import aside, chat_path, contents, say

LONG_NUMBER = "9" * 5000


BAD_TEXTS = {
    "invalid_json": [
        " ",
        "hello",
        "null",
        "1",
        '"text"',
        "true",
        "[]",
        '[{"message":"x"}]',
        "{",
        '{"message":"x"',
        '{"message":"x"}}',
        "{'message':'x'}",
        '{"message":NaN}',
        '{"message":Infinity}',
        '{"message":1e400}',
        '{"message":"x","n":' + LONG_NUMBER + "}",
        '{"message":"\\ud800"}',
        '{"message":"\\udc00\\ud800"}',
        '{"message":"\\ud83d"}',
        '{"message":"\\x41"}',
        '{"message":"raw\x00nul"}',
        '{"message":"lone \udc80 surrogate"}',
        '\ufeff{"message":"x"}',
        "[" * 10_000,
        "[" * 10_000 + "]" * 10_000,
        '{"a":' * 10_000 + "1" + "}" * 10_000,
        '{"message":"x","a":' + "[" * 40 + "]" * 40 + "}",
    ],
    "invalid_frame": [
        "{}",
        '{"Message":"x"}',
        '{"type":"message"}',
        '{"message":null}',
        '{"message":1}',
        '{"message":1.5}',
        '{"message":true}',
        '{"message":["x"]}',
        '{"message":{"text":"x"}}',
        '{"message":"first","message":2}',
        '{"type":null,"message":"x"}',
        '{"type":"","message":"x"}',
        '{"type":"Message","message":"x"}',
        '{"type":"subscribed"}',
        '{"type":["message"],"message":"x"}',
        '{"type":{"a":1}}',
        '{"type":' + "9" * 4000 + "}",
        '{"type":"' + "x" * 5000 + '"}',
        '{"type":"\\u0000"}',
        '{"message":"x","client_id":"not a uuid"}',
        '{"message":"x","client_id":7}',
        '{"message":"x","client_id":""}',
        '{"message":"x","client_id":[]}',
        '{"type":"edit","message":"x"}',
        '{"type":"edit","message_id":"1","message":"x"}',
        '{"type":"edit","message_id":1}',
        '{"type":"edit","message_id":1,"message":7}',
        '{"type":"delete"}',
        '{"type":"delete","message_id":1.0}',
        '{"type":"delete","message_id":null}',
        '{"type":"read"}',
        '{"type":"delivered","up_to_seq":[]}',
    ],
    "empty_message": ['{"message":""}', '{"message":"   "}', '{"message":"\\n\\t \u2003"}'],
    "message_too_long": [
        json.dumps({"message": "x" * 8001}),
        json.dumps({"message": "é" * 8001}),
        json.dumps({"message": "\x00" * 9000}),
    ],
    "invalid_text": [
        '{"message":"\\u0000"}',
        '{"message":"a\\u0000b"}',
        '{"message":"\\u001b[2J"}',
        '{"message":"\\u007f"}',
    ],
    "message_not_found": [
        '{"type":"delete","message_id":0}',
        '{"type":"delete","message_id":-1}',
        '{"type":"edit","message_id":' + "9" * 25 + ',"message":"x"}',
    ],
    "unauthenticated": [
        '{"type":"auth.refresh"}',
        '{"type":"auth.refresh","token":null}',
        '{"type":"auth.refresh","token":["x"]}',
        '{"type":"auth.refresh","token":"a.b.c"}',
    ],
}


#: The shape of these is right; only their meaning is wrong, which no schema can say. A number with a fraction
#: of zero is an integer to JSON Schema, and not to us.
OF_MEANING = {
    '{"message":"   "}',
    '{"message":"\\n\\t \u2003"}',
    '{"type":"delete","message_id":1.0}',
    '{"type":"auth.refresh","token":"a.b.c"}',
}


@pytest.mark.parametrize("code", BAD_TEXTS)
def test_frame_that_is_wrong_in_shape_is_outside_of_the_contract(code):
    conversation = contract().conversation("/ws/chat/1/")
    wrong = {text for text in BAD_TEXTS[code] if conversation.said(text) is not None}

    assert set(BAD_TEXTS[code]) - wrong == OF_MEANING & set(BAD_TEXTS[code])


@pytest.mark.parametrize("code", BAD_TEXTS)
async def test_unusable_frame_is_answered_by_name_and_the_socket_lives(
    ana, bruno, conversation, connect, unlimited, caplog, code
):
    async with (
        connect(ana, chat_path(conversation)) as socket,
        connect(bruno, chat_path(conversation)) as other,
    ):
        for text in BAD_TEXTS[code]:
            await socket.send_text(text)
            error = await socket.receive()
            assert (error["type"], error["code"]) == ("error", code), text[:80]
            assert error.keys() == {"type", "code", "message", "retryable", "retry_after_ms", "ref"}
            assert len(error["message"]) < 300

        await socket.send({"message": "alive"})
        assert (await socket.receive_until("message"))["content"] == "alive"
        assert (await other.receive())["content"] == "alive"
    assert await aside(contents)(conversation) == ["alive"]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_binary_frames_are_not_understood(ana, conversation, connect, unlimited):
    async with connect(ana, chat_path(conversation)) as socket:
        for data in (b'{"message":"x"}', b"\xff\xfe"):
            await socket.send_bytes(data)
            assert (await socket.receive())["code"] == "invalid_json"
        await socket.send({"message": "alive"})
        assert (await socket.receive())["content"] == "alive"


@pytest.mark.parametrize("frame", [{"text": ""}, {"bytes": b""}, {"text": None, "bytes": b""}, {}])
async def test_frame_with_nothing_in_it_is_a_mistake_like_any_other(ana, conversation, connect, frame):
    async with connect(ana, chat_path(conversation)) as socket:
        await socket._communicator.send_input({"type": "websocket.receive", **frame})
        assert (await socket.receive())["code"] == "invalid_json"
        await socket.send({"message": "alive"})
        assert (await socket.receive())["content"] == "alive"


async def test_error_carries_the_ref_of_the_failed_command(ana, conversation, connect):
    async with connect(ana, chat_path(conversation)) as socket:
        for ref in (7, "seven", -1, 2**53 - 1):
            await socket.send_wrong({"message": "", "ref": ref})
            assert (await socket.receive())["ref"] == ref


async def test_ref_that_cannot_be_given_back_is_refused_and_nothing_is_said(ana, conversation, connect):
    async with connect(ana, chat_path(conversation)) as socket:
        for ref in ([1], {"a": 1}, True, 1.5, 2**53, "x" * 65, "\x00"):
            await socket.send_wrong({"message": "unheard", "ref": ref})
            error = await socket.receive()
            assert (error["code"], error["ref"]) == ("invalid_frame", None), ref

        assert await socket.receives_nothing()
    assert await aside(contents)(conversation) == []


async def test_ref_that_is_null_is_none(ana, conversation, connect):
    async with connect(ana, chat_path(conversation)) as socket:
        await socket.send({"message": "Bonjour", "ref": None})

        assert (await socket.receive())["content"] == "Bonjour"
        assert await socket.receives_nothing()  # no ack: the client asked for none


@pytest.mark.parametrize(
    ("overhead", "filler"),
    [(len('{"message":""}'), "x"), (len('{"message":"é"}') + 1, "é")],
)
async def test_oversize_closes_with_1009_and_a_byte_less_does_not(
    ana, bruno, conversation, connect, overhead, filler
):
    """The limit counts bytes of UTF-8, not characters."""
    width = len(filler.encode())
    fits = "{" + f'"message":"{filler * ((128 * 1024 - 14) // width)}"' + "}"
    async with (
        connect(ana, chat_path(conversation)) as socket,
        connect(bruno, chat_path(conversation)) as other,
    ):
        assert len(fits.encode()) in (128 * 1024, 128 * 1024 - 1)
        await socket.send_text(fits)
        assert (await socket.receive())["code"] == "message_too_long"
        await socket.send_text(fits + "  ")
        assert (await socket.receive())["code"] == "too_big"
        assert await socket.receive_close() == 1009
        await aside(say)(conversation, ana, "others go on")
        assert (await other.receive())["content"] == "others go on"


async def test_longest_message_is_told_whole(ana, bruno, conversation, connect):
    for text in ("x" * 8000, "🎉" * 8000):
        async with (
            connect(ana, chat_path(conversation)) as socket,
            connect(bruno, chat_path(conversation)) as other,
        ):
            await socket.send({"message": text})
            assert (await other.receive())["content"] == text


async def test_white_space_around_the_words_is_kept(ana, conversation, connect):
    async with connect(ana, chat_path(conversation)) as socket:
        await socket.send({"message": "  def f():\r\n\tpass \n"})

        assert (await socket.receive())["content"] == "  def f():\r\n\tpass \n"
