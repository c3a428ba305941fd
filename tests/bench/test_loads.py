"""A load says each message when it is due, and notes when the first and the last socket heard it."""

from types import SimpleNamespace

import pytest

from bench import hearing, loads
from bench.client import Client
from bench.loads import Load
from bench.speech import heard, text
from tests.bench.test_counting import framed

pytestmark = pytest.mark.stack("small")

SECOND = 1_000_000_000


class Talker(Client):
    """A client without a socket, which keeps what it would send."""

    def __init__(self, sender: int) -> None:
        super().__init__(path="/", conversation=0, sender=sender)
        self.is_open = True
        self.said: list[bytes] = []

    def say(self, data: bytes) -> bool:
        self.said.append(data)
        return True


class Clock:
    """The monotonic clock of a load."""

    def __init__(self) -> None:
        self.now = 100 * SECOND

    def monotonic_ns(self) -> int:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    for module in (loads, hearing):
        monkeypatch.setattr(module, "time", clock)
    return clock


def load_of(clients: list[Talker], **options) -> Load:
    generator = SimpleNamespace(clients=clients, open=dict(enumerate(clients)), cpu_seconds=lambda: 0.0)
    options = {"style": "plain", "seconds": 10, "warmup": 1} | options
    load = Load(generator, **options)  # type: ignore[arg-type]  # as much of one as it asks
    load.start()
    return load


def times(talkers: list[Talker], began: int) -> list[tuple[int, float]]:
    """The talkers that said something, and the times at which they say they said it, in milliseconds."""
    said = []
    for talker in talkers:
        for data in talker.said:
            found = heard(data, 0, len(data))
            assert found is not None
            said.append((found.sender, (found.time - began) / 1e6))
    return sorted(said, key=lambda each: each[1])


def test_open_loop_speaks_in_turn_at_a_fixed_rate(clock):
    talkers = [Talker(0), Talker(1)]
    load, began = load_of(talkers, mode="open", rate=100), clock.now
    for _ in range(4):
        load.tick(clock.now)
        clock.now += 10_000_000
    assert times(talkers, began) == [(0, 0), (1, 10), (0, 20), (1, 30)]


def test_late_message_counts_from_when_it_was_due(clock):
    talkers = [Talker(0), Talker(1)]
    load, began = load_of(talkers, mode="open", rate=100), clock.now
    load.tick(clock.now)
    clock.now += 45_000_000  # the generator, or the server that it waits for, stood still
    load.tick(clock.now)
    assert times(talkers, began) == [(0, 0), (1, 10), (0, 20), (1, 30), (0, 40)]


def test_open_loop_does_not_wait_for_echoes(clock):
    talkers = [Talker(0)]
    load = load_of(talkers, mode="open", rate=1000)
    clock.now += SECOND
    load.tick(clock.now)
    assert len(talkers[0].said) == 1001
    assert load.sent == 1001


def test_first_and_last_delivery_of_each_message_are_noted(clock):
    speaker, *others = talkers = [Talker(0), Talker(-1), Talker(-1)]
    load = load_of(talkers, mode="closed", reach=True)
    clock.now += SECOND  # the window begins

    def says(number: int) -> bytes:
        speaker.awaiting_since = clock.now
        return framed(b'{"type":"message","content":"%b"}' % text(0, number, clock.now))

    def hears(talker: Talker, *frames: bytes) -> None:
        clock.now += 1_000_000
        stream = bytearray(b"".join(frames))
        talker.watch = None
        load.listen(talker)(stream, 0, len(frames), len(frames[0]))

    speaker.echo_marker = b"no echo here: what comes next is said below"
    one = says(1)
    hears(others[0], one)  # after 1 ms
    hears(speaker, one)  # 2 ms
    two = says(2)
    hears(others[1], one)  # 3 ms; the second one was said 1 ms before
    hears(speaker, two)
    hears(others[0], two)
    three = says(3)
    hears(others[1], two, three)  # read late: it is the last of one message and the first of the next
    hears(others[0], three)
    hears(speaker, three)

    milliseconds = {
        name: [value / 1e6 for value in getattr(load, name)] for name in ("first", "last", "behind")
    }
    assert milliseconds == {"first": [1, 2, 1], "last": [3, 4, 3], "behind": [1, 1, 0]}
    assert load.received == 9


def test_answers_of_the_native_socket_are_no_messages(clock):
    """They may stand among events that are as long; an error is noted."""
    [speaker] = talkers = [Talker(0)]
    load = load_of(talkers, mode="closed", style="native", seq="seq")
    load.tick(clock.now)
    [said] = speaker.said
    assert b'"type":"send"' in said
    speaker.watch = None

    def hears(*payloads: bytes) -> None:
        stream = bytearray(b"".join(map(framed, payloads)))
        load.listen(speaker)(stream, 0, len(payloads), len(stream) // len(payloads))

    def event(seq: int, content: bytes = b"a" * 50) -> bytes:
        return b'{"topic":"conversation.1","type":"message","content":"%b","seq":%03d}' % (content, seq)

    ack = b'{"type":"ack","ref":null,"seq":7}'.ljust(len(event(0)))
    hears(event(100), ack, event(101))
    assert (load.received, speaker.message_count, len(speaker.said)) == (2, 2, 1)
    hears(b'{"type":"error","code":"overloaded"}')
    hears(b'{"type":"ping","server_time":""}')
    hears(event(102, text(0, 0, clock.now)))  # its own message: now it speaks again

    assert (load.received, speaker.message_count, len(speaker.said)) == (3, 3, 2)
    assert (load.faults, dict(load.errors)) == (0, {"overloaded": 1})
