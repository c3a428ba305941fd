"""The cost of subscriptions in the core, measured in a server's process that has no connections.

    python -m bench.inside memory [--traced]    bytes for a subscription and for a topic
    python -m bench.inside lone                 how long a lone topic waits, beside others

Started by the scenarios `memory` and `lone`; prints JSON. DATABASE_URL names a database with our tables.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bench.latencies import Latencies
from bench.machine import memory
from bench.speech import said_at, text

if TYPE_CHECKING:
    from bench.listener import CountingWire, Listener

#: Seconds between two looks at the memory, seconds until giving up, and the change below which it is stable.
SETTLE_SECONDS, SETTLE_PATIENCE, STILL = 1.0, 60.0, 0.002
#: Seconds between two events on the lone topic, which is never busy: so no window of its own is open.
LEAST_PAUSE, MOST_PAUSE = 0.008, 0.012
LONE, FEW = "bench.lone", "bench.few"


# ── memory ───────────────────────────────────────────────────────────────────────────────────────────────


async def measure_memory(*, sockets: int, topics: int, is_traced: bool) -> dict[str, float]:
    """Bytes of a subscription to a topic that others have too, and of a topic with one subscription."""
    if is_traced:
        tracemalloc.start()
    everybody = [await _opened(number) for number in range(sockets)]
    before = await _settled(is_traced=is_traced)
    for topic in [f"bench.shared.{number}" for number in range(topics)]:
        for socket in everybody:
            socket.listen_to(topic)
    shared = await _settled(is_traced=is_traced)
    for number, socket in enumerate(everybody):
        for other in range(topics):
            socket.listen_to(f"bench.own.{number}.{other}")
    own = await _settled(is_traced=is_traced)
    return bytes_each(before, shared, own, count=sockets * topics)


def bytes_each(before: float, shared: float, own: float, *, count: int) -> dict[str, float]:
    """From the memory before, after `count` subscriptions to shared topics, and after `count` own topics."""
    subscription = (shared - before) / count
    return {"subscription": subscription, "topic": (own - shared) / count - subscription}


async def _settled(*, is_traced: bool) -> float:
    """Wait until the memory is stable, and return it."""
    deadline, last = time.monotonic() + SETTLE_PATIENCE, 0.0
    while True:
        await asyncio.sleep(SETTLE_SECONDS)
        gc.collect()
        now = float(tracemalloc.get_traced_memory()[0] if is_traced else memory(os.getpid()).unique)
        if abs(now - last) < STILL * now or time.monotonic() > deadline:
            return now
        last = now


async def _opened(number: int, wire: CountingWire | None = None) -> Listener:
    from bench.listener import CountingWire, open_listener

    return await open_listener(number + 1, wire or CountingWire())


# ── a lone topic ─────────────────────────────────────────────────────────────────────────────────────────


async def measure_lone(
    *, sockets: int, subscriptions: int, topics: int, rate: float, seconds: float
) -> dict[str, Any]:
    """Delays on the lone topic, by state.

    alone: there are no other sockets. few: others, with one subscription each, receive so many events a
    second. quiet: others, with many subscriptions, receive nothing. busy: they receive as many events, on all
    their topics.
    """
    from bench.listener import CountingWire

    class Heard(CountingWire):
        __slots__ = ("delays",)

        def __init__(self) -> None:
            super().__init__()
            self.delays: list[int] = []

        def write(self, data: bytes) -> None:
            now = time.monotonic_ns()
            if said := said_at(data, 0, len(data)):
                self.delays.append(now - said)

    wire = Heard()
    (await _opened(0, wire)).listen_to(LONE)

    async def delays(others: Sequence[str] = ()) -> dict[int, int]:
        wire.delays.clear()
        threads = [threading.Thread(target=speak_to, args=([LONE], pauses(), seconds))]
        if others:
            threads.append(threading.Thread(target=speak_to, args=(others, lambda: 1 / rate, seconds)))
        for thread in threads:
            thread.start()
        await asyncio.gather(*(asyncio.to_thread(thread.join) for thread in threads))
        await asyncio.sleep(SETTLE_SECONDS / 10)  # until the last events are written
        return Latencies.of(wire.delays).counts()

    await delays()  # warms caches, and is not counted
    found: dict[str, Any] = {"alone": await delays()}
    wires = [CountingWire() for _ in range(sockets)]
    everybody = [await _opened(number + 1, each) for number, each in enumerate(wires)]
    # An event reaches as many sockets as later, but these have no other subscription.
    for socket in everybody[: sockets * subscriptions // topics]:
        socket.listen_to(FEW)
    await asyncio.sleep(SETTLE_SECONDS)
    found["few"] = await delays([FEW])
    for number, socket in enumerate(everybody):
        for topic in topics_of(number, subscriptions=subscriptions, topics=topics):
            socket.listen_to(f"bench.{topic}")
        await asyncio.sleep(0)
    await asyncio.sleep(SETTLE_SECONDS * 2)
    gc.collect()
    found["quiet"] = await delays()
    before = sum(each.writes for each in wires)
    found["busy"] = await delays([f"bench.{number}" for number in range(topics)])
    return found | {"written": (sum(each.writes for each in wires) - before) / seconds}


def topics_of(socket: int, *, subscriptions: int, topics: int) -> Sequence[int]:
    """The topics of one socket, spread so that all topics have equally many sockets."""
    step = max(1, topics // subscriptions)
    return [(socket + number * step) % topics for number in range(subscriptions)]


def pauses() -> Callable[[], float]:
    """Seconds until the next event on the lone topic, out of step with anything else."""
    chance = random.Random(1)
    return lambda: chance.uniform(LEAST_PAUSE, MOST_PAUSE)


def speak_to(topics: Sequence[str], pause: Callable[[], float], seconds: float) -> None:
    """Publish to these topics in turn, from a thread, as services do after a commit."""
    from realtime.events import Event
    from realtime.publishing import publish_now

    class Told(Event, tag="told", frozen=True):
        content: str

    end, number, due = time.monotonic() + seconds, 0, time.monotonic()
    while due < end:
        time.sleep(max(0.0, due - time.monotonic()))
        content = text(0, number, time.monotonic_ns()).decode()
        publish_now(topics[number % len(topics)], Told(content=content))
        number += 1
        due += pause()


# ── the program ──────────────────────────────────────────────────────────────────────────────────────────


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("memory", "lone"))
    parser.add_argument("--sockets", type=int, default=1000)
    parser.add_argument("--subscriptions", type=int, default=200, help="of each socket; lone")
    parser.add_argument(
        "--topics", type=int, default=20, help="of each socket; of all of them together: lone"
    )
    parser.add_argument(
        "--traced", action="store_true", help="count what Python allocates, not what is resident"
    )
    parser.add_argument("--rate", type=float, default=100, help="events a second on their topics; lone")
    parser.add_argument("--seconds", type=float, default=10, help="of each state; lone")
    options = parser.parse_args(arguments)

    import uvloop

    import config.asgi  # noqa: F401 - what a server does first, the settings of the garbage collector included

    if options.what == "memory":
        work = measure_memory(sockets=options.sockets, topics=options.topics, is_traced=options.traced)
    else:
        work = measure_lone(
            sockets=options.sockets,
            subscriptions=options.subscriptions,
            topics=options.topics,
            rate=options.rate,
            seconds=options.seconds,
        )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        json.dump(runner.run(work), sys.stdout)
        sys.stdout.flush()
        os._exit(0)  # a thousand open sockets need no tidy end


if __name__ == "__main__":
    main()
