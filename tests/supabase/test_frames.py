"""The frames of both versions, against the worked examples of the protocol."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime import InvalidFrameError, InvalidJsonError
from supabase.socket.frames import VERSIONS, Broadcast, broadcast_in

ONE, TWO = VERSIONS["1.0.0"], VERSIONS["2.0.0"]
PUSH = bytes.fromhex(
    "03 01 01 0e 02 00 01 36 39 72 65 61 6c 74 69 6d 65 3a 73 61 6c 6f 6e 76 75 7b 22 6e 22 3a 37 7d"
)
RAW = bytes.fromhex(
    "04 0e 02 0b 00 72 65 61 6c 74 69 6d 65 3a 73 61 6c 6f 6e 76 75 7b 22 69 64 22 3a 22 6d 31 22 7d 01 02 ff"
)


def raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


def test_binary_push_is_a_broadcast_with_its_refs():
    push = TWO.read(PUSH)

    assert (push.topic, push.event, push.ref, push.join_ref) == ("realtime:salon", "broadcast", "9", "6")
    assert push.message == Broadcast("vu", raw('{"n":7}'))


def test_bytes_are_told_in_a_binary_frame_and_not_at_all_in_the_first_version():
    message = Broadcast("vu", b"\x01\x02\xff", raw('{"id":"m1"}'))

    assert TWO.broadcast("realtime:salon", message) == RAW
    assert ONE.broadcast("realtime:salon", message) is None


def test_json_is_told_as_text_in_both_versions():
    message = Broadcast("vu", raw('{"n":7}'))
    said = '{"type":"broadcast","event":"vu","payload":{"n":7}}'

    assert TWO.broadcast("realtime:salon", message) == f'[null,null,"realtime:salon","broadcast",{said}]'
    assert ONE.broadcast("realtime:salon", message) == (
        f'{{"topic":"realtime:salon","event":"broadcast","payload":{said},"ref":null}}'
    )


@pytest.mark.parametrize(
    ("version", "frame"),
    [
        (ONE, '{"topic":"realtime:a","event":"phx_join","payload":{"config":{}},"ref":"1","join_ref":"1"}'),
        (TWO, '["1","1","realtime:a","phx_join",{"config":{}}]'),
    ],
    ids=["1.0.0", "2.0.0"],
)
def test_text_push_is_read(version, frame):
    push = version.read(frame)

    assert push[:5] == ("realtime:a", "phx_join", {"config": {}}, "1", "1")


def test_reply_repeats_its_refs():
    write = {"ref": "9", "join_ref": "6"}

    assert TWO.write("realtime:é", "phx_reply", "{}", **write) == '["6","9","realtime:é","phx_reply",{}]'
    assert ONE.write("realtime:é", "phx_reply", "{}", **write) == (
        '{"topic":"realtime:é","event":"phx_reply","payload":{},"ref":"9"}'
    )


@pytest.mark.parametrize(
    ("version", "frame", "error"),
    [
        (ONE, "nonsense", InvalidJsonError),
        (ONE, '{"topic":"a"}', InvalidFrameError),
        (ONE, '["1","1","a","b",{}]', InvalidFrameError),
        (ONE, PUSH, InvalidJsonError),
        (TWO, "{}", InvalidFrameError),
        (TWO, '["1","1","a","b"]', InvalidFrameError),
        (TWO, '["1","1",7,"b",{}]', InvalidFrameError),
        (TWO, "[" * 5000, InvalidFrameError),
        (TWO, '["1","1","a","b",' + "[" * 5000, InvalidJsonError),
        (TWO, b"", InvalidFrameError),
        (TWO, b"\x00" + PUSH[1:], InvalidFrameError),
        (TWO, PUSH[:20], InvalidFrameError),
        (TWO, PUSH[:6] + b"\x07" + PUSH[7:], InvalidFrameError),
        (TWO, PUSH[:-1], InvalidJsonError),
        (TWO, PUSH[:9] + b"\xff" + PUSH[10:], InvalidFrameError),
    ],
)
def test_frame_that_says_nothing_is_refused(version, frame, error):
    with pytest.raises(error):
        version.read(frame)


@given(st.binary(max_size=64))
def test_no_bytes_make_the_reader_fail(frame):
    try:
        push = TWO.read(frame)
    except (InvalidFrameError, InvalidJsonError):
        return
    assert push.message is not None


@pytest.mark.parametrize("payload", [None, [], {}, {"event": 7}, "x"])
def test_broadcast_without_an_event_is_refused(payload):
    with pytest.raises(InvalidFrameError):
        broadcast_in(payload)


def test_broadcast_in_a_text_frame_may_lack_a_payload():
    assert broadcast_in({"type": "broadcast", "event": "vu"}) == Broadcast("vu", raw("{}"))
