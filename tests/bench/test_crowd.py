"""The generator against a server that keeps its promises, and against some that do not."""

import re
from functools import partial

import pytest

from bench import crowd as crowds
from bench.crowd import Crowd, CrowdError, Place, added_up
from bench.generator import Generator
from bench.latencies import Latencies
from tests.bench.broadcaster import Broadcaster

pytestmark = [pytest.mark.acceptance, pytest.mark.stack("small")]

PLACES = [Place("/", speaks=index < 2) for index in range(4)]
raises = partial(pytest.raises, CrowdError)
#: Long enough for a machine that stands still for half a second. A load ends when every socket has heard
#: everything; the generator waits only for messages that were lost.
BRIEF = {"seconds": 1.0, "warmup": 0.05, "drain": 30.0}


@pytest.mark.parametrize("processes", [1, 2])
def test_everything_is_counted_and_timed(processes, monkeypatch):
    # A generator that reads its order late would miss the other's first messages.
    monkeypatch.setattr(crowds, "TOGETHER_NS", 2_000_000_000)
    with Broadcaster() as server, Crowd(server.port, PLACES, processes=processes) as crowd:
        opened = crowd.connect(probe="plain")
        load = crowd.load(**BRIEF, seq="seq")

    assert (opened.ready, opened.lost) == (4, {})
    assert load.is_whole
    assert load.sent_in_all > 0
    assert load.received_in_all == 4 * load.sent_in_all
    assert len(load.delivery) > 0
    assert load.answered > 0
    assert 0 < load.answer.percentile(50) < 200
    assert 0 < load.busy <= 1.1


def test_open_loop_keeps_its_rate():
    with Broadcaster() as server, Crowd(server.port, PLACES) as crowd:
        crowd.connect(probe="plain")
        # A message that is sent late, because the generator was not let run, counts where it was sent.
        load = crowd.load(mode="open", rate=200, **BRIEF | {"seconds": 4.0})
    assert load.sends_per_second == pytest.approx(200, rel=0.25)
    assert load.is_whole


def test_one_lost_message_on_one_socket_is_seen():
    with Broadcaster(lambda number: int(number != 20)) as server, Crowd(server.port, PLACES) as crowd:
        crowd.connect(probe="plain")
        load = crowd.load(**BRIEF, seq="seq")
    assert (load.lost, load.doubled) == (1, 0)
    assert not load.is_whole


def test_one_doubled_message_on_one_socket_is_seen():
    with Broadcaster(lambda number: 1 + (number == 20)) as server, Crowd(server.port, PLACES) as crowd:
        crowd.connect(probe="plain")
        load = crowd.load(**BRIEF, seq="seq")
    assert (load.lost, load.doubled) == (0, 1)
    assert load.faults > 0


def test_one_lost_and_one_doubled_do_not_cancel_out():
    copies = {20: 0, 25: 2}
    with Broadcaster(lambda number: copies.get(number, 1)) as server, Crowd(server.port, PLACES) as crowd:
        crowd.connect(probe="plain")
        load = crowd.load(**BRIEF, seq="seq")
    assert (load.lost, load.doubled) == (0, 0)
    assert load.faults == 2
    assert not load.is_whole


def test_socket_says_first_what_it_was_given():
    with Broadcaster() as server, Crowd(server.port, [Place("/", opening=['"one"', '"two"'])]) as crowd:
        opened = crowd.connect(frames=2)  # both frames went to every socket
    assert opened.ready == 1
    assert server.heard == ['"one"', '"two"']


def test_socket_that_is_told_an_error_is_not_ready():
    places = [Place("/", opening=['{"type":"error"}'])]
    with (
        Broadcaster() as server,
        Crowd(server.port, places) as crowd,
        raises(match=re.escape("0 of 1 sockets are ready; the others: {'told an error': 1}")),
    ):
        crowd.connect(frames=1)


def test_refused_sockets_are_named():
    why = re.escape("1 of 2 sockets are ready; the others: {'HTTP 403': 1}")
    with (
        Broadcaster() as server,
        Crowd(server.port, [Place("/"), Place("/refused")]) as crowd,
        raises(match=why),
    ):
        crowd.connect()


def test_server_that_is_not_there_is_an_error():
    with Broadcaster() as server:
        pass
    with Crowd(server.port, PLACES[:1]) as crowd, pytest.raises(CrowdError):
        crowd.connect()


def test_only_this_machine_is_put_under_load():
    with pytest.raises(ValueError, match="only this machine"):
        Generator(port=80, sockets=[["/", 0, -1]], host="203.0.113.7")


def test_many_sockets_come_from_several_addresses():
    few = Generator(port=80, sockets=[["/", 0, -1]] * 10)
    many = Generator(port=80, sockets=[["/", 0, -1]] * 30_000)
    assert few.source_of(9) is None
    assert [many.source_of(number) for number in (0, 24_999, 25_000)] == [
        "127.0.0.2",
        "127.0.0.2",
        "127.0.0.3",
    ]
    few.epoll.close()
    many.epoll.close()


def test_answers_of_several_generators_are_one_result():
    def answer(sent: int, counts: dict[int, int]) -> dict:
        numbers = dict.fromkeys(
            (
                "received",
                "sent",
                "received_in_all",
                "sent_in_all",
                "answered",
                "faults",
                "unanswered",
                "unsent",
            ),
            1,
        )
        return {
            **numbers,
            "seconds": 2.0,
            "busy": 0.5,
            "delivery": Latencies.of([1000]).counts(),
            "answer": {},
            "first": Latencies.of([1_000_000]).counts(),
            "last": Latencies.of([3_000_000]).counts(),
            "behind": Latencies.of([2_000_000]).counts(),
            "errors": {"overloaded": 1},
            "sent_in": {7: sent},
            "counts": {"7": counts},
        }

    # Ten were sent, four here and six there; of five sockets one has nine and one has twelve.
    load = added_up([answer(4, {"10": 2, "9": 1}), answer(6, {"10": 1, "12": 1})], ended={})
    assert (load.lost, load.doubled) == (1, 2)
    assert load.errors == {"overloaded": 2}
    assert load.deliveries_per_second == 1.0
    assert len(load.delivery) == 2
    assert (load.first.mean(), load.last.mean(), load.behind.mean()) == (1, 3, 2)
    assert len(load.first) == 2
