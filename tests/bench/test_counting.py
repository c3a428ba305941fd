"""The frame counter counts exactly the frames that a server wrote, however the bytes were cut."""

import random

import pytest

from bench.counting import MAX_FRAME, Inbound, MalformedStreamError, events_in, next_run, whole_number

pytestmark = pytest.mark.stack("small")


def framed(payload: bytes, first: int = 0x81) -> bytes:
    """A server's frame, which is not masked."""
    length = len(payload)
    if length < 126:
        return bytes([first, length]) + payload
    if length < 65536:
        return bytes([first, 126]) + length.to_bytes(2, "big") + payload
    return bytes([first, 127]) + length.to_bytes(8, "big") + payload


def event(seq: int, size: int = 0) -> bytes:
    return b'{"type":"message","content":"%b","seq":%d}' % (b"x" * size, seq)


def fed(stream: bytes, pieces: list[int]) -> tuple[Inbound, list[bytes]]:
    """The counter after a stream cut into pieces of these sizes, and every message as the counter saw it."""
    inbound, seen, position = Inbound(), [], 0
    buffer = bytearray(MAX_FRAME * 2)

    def saw(buffer: bytearray, at: int, frames: int, stride: int) -> None:
        seen.extend(bytes(buffer[at + n * stride : at + (n + 1) * stride]) for n in range(frames))

    while position < len(stream):
        data = inbound.rest + stream[position : position + pieces[0]]
        position += pieces[0]
        pieces = pieces[1:] + pieces[:1]
        buffer[: len(data)] = data
        inbound.take(buffer, len(data), saw)
    return inbound, seen


# The payloads have headers of 2, 4 and 10 bytes, at their edges, and length bytes that a text might also
# hold.
SIZES = [0, 1, 84, 85, 86, 129, 200, 257, 65_500, 65_600]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1000, 300_000])
def test_run_is_counted_wherever_it_is_cut(size, piece):
    if piece < 7 and size > 1000:
        piece *= 1000
    frames = [framed(event(seq, size)) for seq in range(10, 18)]

    inbound, seen = fed(b"".join(frames), [piece])

    assert seen == frames
    assert inbound.messages == 8
    assert inbound.rest == b""


def test_mixed_stream_is_counted_wherever_it_is_cut():
    chance = random.Random(7)
    for _ in range(200):
        frames = [framed(event(seq, chance.choice(SIZES[:8]))) for seq in range(chance.randrange(1, 40))]
        stream = [
            part for frame in frames for part in ([framed(b"hi", 0x89)] * chance.randrange(2) + [frame])
        ]
        pieces = [chance.randrange(1, 900) for _ in range(20)]

        inbound, seen = fed(b"".join(stream), pieces)

        assert seen == frames
        assert inbound.messages == len(frames)
        assert len(inbound.pings) == len(stream) - len(frames)


def test_run_ends_where_a_header_differs_though_the_text_looks_like_one():
    # The second is one byte longer, and its text holds the first one's header at the stride of the first.
    first = framed(b"a" * 20)
    second = framed(b"b" * 19 + first[:2])

    _, seen = fed(first + second + first, [1000])

    assert seen == [first, second, first]
    assert next_run(bytearray(first + second + first), 0, 65)[0] == 1


def test_fragments_are_one_message():
    inbound, _ = fed(
        framed(b"ab", 0x01) + framed(b"cd", 0x00) + framed(b"ef", 0x80) + framed(b"x", 0x82), [3]
    )
    assert inbound.messages == 2


def test_ping_waits_for_its_pong_and_pong_for_nothing():
    inbound, _ = fed(framed(b"beat", 0x89) + framed(b"", 0x8A), [1])
    assert inbound.pings == [b"beat"]
    assert inbound.messages == 0


@pytest.mark.parametrize(("payload", "code"), [(b"\x0f\xa1why", 4001), (b"", 1005)])
def test_close_code_is_kept(payload, code):
    inbound, _ = fed(framed(event(1)) + framed(payload, 0x88), [4])
    assert inbound.close_code == code
    assert inbound.messages == 1


@pytest.mark.parametrize(
    "stream",
    [
        b"\x81\x85abcdhello",  # masked
        framed(b"x", 0xC1),  # compressed, which nobody asked for
        framed(b"x", 0x83),  # an opcode that does not exist
        framed(b"x" * 200, 0x89),  # a long ping
        framed(b"x", 0x09),  # a ping in parts
        b"\x81\x7f" + (2**63).to_bytes(8, "big"),
        b"HTTP/1.1 500 Oh\r\n\r\n",
    ],
)
def test_malformed_stream_is_refused(stream):
    with pytest.raises(MalformedStreamError):
        fed(framed(b"fine") + stream, [1000])


@pytest.mark.parametrize("size", [20, 125, 126, 65_535, 65_536])
def test_events_of_the_native_socket_are_told_from_answers_that_are_as_long(size):
    event, answer = framed(b'{"topic":"t"}'.ljust(size)), framed(b'{"type":"ack"}'.ljust(size, b"o"))
    stream = bytearray(b"....." + event + answer + event + event)

    assert events_in(stream, 5, 4, len(event)) == 3
    assert events_in(stream, 5 + len(event), 1, len(event)) == 0


@pytest.mark.parametrize(
    ("frame", "value"),
    [
        (b'{"seq":12}', 12),
        (b'{"seq": 12,"a":1}', 12),
        (b'{"a":1}', None),
        (b'{"seq":null}', None),
        (b'"seq":', None),
    ],
)
def test_number_is_found_without_parsing(frame, value):
    found = whole_number(frame, b"seq")
    assert (found and found[0]) == value
    assert found is None or frame[found[1] : found[1] + 1] == str(value)[-1:].encode()
