"""Hostile frames over every socket and command, hostile requests over every endpoint, against a real server.

    python -m tests.attacks.fuzz --frames 100000 --seed 1 --server uvicorn
    python -m tests.attacks.fuzz --frames 500 --server guide     # must fail: the attack can tell

It prints the seed, the answers, and every fault: a traceback in the log, a socket that ended with 1006, 1011
or 4500, an HTTP 500, a frame without an answer, and stored rows that cannot be read back.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import itertools
import json
import secrets
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, get_args

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.attacks.hostile import Frame, Hostile
from tests.attacks.targets import Name, Target, running

#: A socket may make 20 mistakes a minute; after one more it is closed with 4400.
FRAMES_PER_SOCKET = 18
SOCKETS_AT_ONCE = 8
#: One request for this many frames.
FRAMES_PER_REQUEST = 20
ANSWER_SECONDS = 20.0
FAULT_CODES = (1006, 1011, 4500)
MAX_INTEGER = 2**53


@dataclass
class Outcome:
    """What an attack sent, and the result."""

    frames: int = 0
    requests: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)

    def summary(self) -> str:
        lines = [f"{self.frames} frames, {self.requests} requests"]
        lines += [f"  {count:8} {what}" for what, count in self.answers.most_common()]
        lines += [f"FAULT {count:6} {what}" for what, count in self.faults.most_common(20)]
        return "\n".join(lines)


async def attack(target: Target, *, frames: int, seed: int) -> Outcome:
    """Send so many frames, and requests beside them, and then read everything back."""
    outcome = Outcome()
    asked = itertools.cycle([(path, one) for path, many in target.sockets.items() for one in many])
    rounds = iter(range(-(-frames // FRAMES_PER_SOCKET)))
    tokens = asyncio.Lock()

    async def worker() -> None:
        while (number := next(rounds, None)) is not None:
            # Each socket has a random source of its own, so one of them can be sent again without the others.
            hostile = Hostile(seed * 1_000_003 + number)
            async with tokens:
                path, command = next(asked)
            await _one_socket(target, path, command, hostile, outcome)
            if target.requests:
                await asyncio.to_thread(_one_request, target, hostile, outcome)

    await asyncio.gather(*(worker() for _ in range(SOCKETS_AT_ONCE)))
    for path, asked_for in target.replays:
        await _replay(target, path, asked_for, outcome)
    for page in target.pages:
        await asyncio.to_thread(_read_pages, target, page, outcome)
    _look_at_the_log(target, outcome)
    return outcome


async def _one_socket(
    target: Target, path: str, command: dict[str, Any], hostile: Hostile, outcome: Outcome
) -> None:
    sent: list[Frame] = []
    try:
        async with connect(target.ws_url + path, max_size=None, ping_interval=None) as socket:
            for _ in range(FRAMES_PER_SOCKET):
                sent.append(hostile.frame(command))
                await socket.send(sent[-1].data, text=sent[-1].is_text)
            if not target.replays:  # the guide knows no ping, so any answer after the last frame will do
                await socket.send(json.dumps(command))
            await _until_answered(socket, outcome, is_ours=bool(target.replays))
            if hostile.random.random() < 0.2:
                sent.append(hostile.ending())
                await socket.send(sent[-1].data, text=True)
                await _until_closed(socket)
    except ConnectionClosed as closed:
        code = closed.rcvd.code if closed.rcvd else 1006
        expected = {right for frame in sent for right in frame.closes_with}
        if code not in expected if expected else code in FAULT_CODES:
            after = (
                f", after frame {len(sent)} of {path.partition('?')[0]}, where {expected or 'none'} was right"
            )
            outcome.faults[f"closed with {code}{after}"] += 1
        outcome.answers[f"closed with {code}"] += 1
    except (TimeoutError, OSError, InvalidStatus) as error:
        outcome.faults[f"{type(error).__name__} on {path.partition('?')[0]}"] += 1
    outcome.frames += len(sent)


async def _until_answered(socket: ClientConnection, outcome: Outcome, *, is_ours: bool) -> None:
    async with asyncio.timeout(ANSWER_SECONDS):
        if is_ours:
            await socket.send('{"type":"ping","ref":"the end"}')
        while True:
            frame = _strict(await socket.recv(), outcome)
            what = frame.get("code") or frame.get("type", "?")
            outcome.answers[str(what)] += 1
            if what == "internal_error":
                outcome.faults["internal_error"] += 1
            if frame.get("ref") == "the end" or not is_ours:
                return


async def _until_closed(socket: ClientConnection) -> None:
    async with asyncio.timeout(ANSWER_SECONDS):
        while True:
            await socket.recv()


def _one_request(target: Target, hostile: Hostile, outcome: Outcome) -> None:
    method, path, body = hostile.random.choice(target.requests)
    if hostile.random.random() < 0.3:
        segments = path.split("/")
        segments[hostile.random.randrange(1, len(segments) - 1)] = hostile.segment()
        path = "/".join(segments)
    connection = http.client.HTTPConnection("127.0.0.1", target.process.port, timeout=ANSWER_SECONDS)
    try:
        headers = {**target.headers, "Content-Type": "application/json"}
        connection.request(method, f"{path}?{hostile.query()}", hostile.body(body), headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        outcome.answers[f"HTTP {answer.status}"] += 1
        if answer.status >= 500:
            outcome.faults[f"HTTP {answer.status} of {method} {path[:80]}"] += 1
        if text and "json" in answer.headers.get("Content-Type", ""):
            _strict(text, outcome)
    except (OSError, http.client.HTTPException) as error:
        outcome.faults[f"{error!r:.60} of {method} {path[:80]}"] += 1
    finally:
        outcome.requests += 1
        connection.close()


# ── everything stored can be read by everybody ────────────────────────────────────────────────────────────


async def _replay(target: Target, path: str, asked_for: dict[str, Any] | None, outcome: Outcome) -> None:
    last: Counter[str] = Counter()
    try:
        async with connect(target.ws_url + path, max_size=None) as socket, asyncio.timeout(120):
            if asked_for is not None:
                await socket.send(json.dumps({"type": "subscribe", **asked_for}))
            while (frame := _strict(await socket.recv(), outcome))["type"] != "subscribed":
                outcome.answers["replayed"] += 1
                topic = frame.get("topic", "")
                if "seq" in frame and frame["seq"] <= last[topic]:
                    outcome.faults["replayed out of order"] += 1
                last[topic] = frame.get("seq", last[topic])
    except (ConnectionClosed, TimeoutError, KeyError) as error:
        outcome.faults[f"poison: the replay of {path.partition('?')[0]} ended with {error!r:.60}"] += 1


def _read_pages(target: Target, page: str | None, outcome: Outcome) -> None:
    while page:
        answer = _strict(target.get(page).decode(), outcome)
        outcome.answers["read over REST"] += len(answer["results"])
        page = answer["next"]


def _strict(text: str | bytes, outcome: Outcome) -> dict[str, Any]:
    """Parse the frame as the strictest client does."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    def integer(digits: str) -> int:
        number = int(digits)
        if abs(number) >= MAX_INTEGER:
            raise ValueError(digits)
        return number

    try:
        value: dict[str, Any] = json.loads(text, parse_constant=refuse, parse_int=integer)
        json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate could not be written again
    except (ValueError, RecursionError) as error:
        outcome.faults[f"poison: {error!r:.80}"] += 1
        return {"type": "poison"}
    if "\x00" in json.dumps(value, ensure_ascii=False):
        outcome.faults["poison: U+0000"] += 1
    return value


def _look_at_the_log(target: Target, outcome: Outcome) -> None:
    log = target.process.log()
    for line in log.splitlines():
        if '"exception": "' in line:
            outcome.faults["logged: " + line.rpartition("\\n")[2][:200]] += 1
    for sign in ("Traceback", '"level": "error"', '"level": "critical"'):
        if count := log.count(sign):
            outcome.faults[f"{sign} in the log"] += count


# ── the program ──────────────────────────────────────────────────────────────────────────────────────────


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--server", choices=get_args(Name), default="uvicorn")
    chosen = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if chosen.seed is None else chosen.seed
    print(
        f"python -m tests.attacks.fuzz --frames {chosen.frames} --seed {seed} --server {chosen.server}",
        flush=True,
    )
    started = time.monotonic()
    with running(chosen.server) as target:
        outcome = asyncio.run(attack(target, frames=chosen.frames, seed=seed))
        print(outcome.summary())
        if outcome.faults:
            print(target.process.log()[-4000:])
    print(f"{time.monotonic() - started:.0f} s, {'FAILED' if outcome.faults else 'passed'}")
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
