"""People without a token who ask for all that they can get: `-m proof.strangers '{"ports": …}'`.

A process of its own with low priority, so that it takes none of the members' time: real strangers bring
machines along, and this one shares the servers'. It prints how each kind of visit was answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from bench.wire import frame, handshake

#: The lowest priority: the process gets the time that servers and members leave.
NICENESS = 10
#: The size that a body claims to have, and the most that it has.
BODY_BYTES = 2 * 2**30
PIECE = b"x" * 65_536
HEADERS = 200_000
#: Seconds between two bytes of a dripping request.
DRIP_SECONDS = 0.5
#: Seconds after which a refused or closed stranger is back.
PAUSE_SECONDS = 0.1
#: Seconds after the end at which visits are cut that do not end by themselves.
GRACE_SECONDS = 5.0
NATIVE = "/ws/"
#: The first bytes of a close frame with a code.
CLOSING = b"\x88\x02"
DOCUMENTS = (
    "/api/schema/?lang={n}",
    "/api/docs/?n={n}",
    "/admin/login/?next=/{n}",
    "/?n={n}",
    "/nothing/{n}/",
)


class Line:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def status(self) -> str:
        """The status of the answer; `closed` when there is none."""
        line = await self.reader.readline()
        words = line.split()
        return words[1].decode("latin1") if len(words) > 1 else "closed"

    async def pour(self, piece: bytes, size: int) -> int:
        """Send so many bytes, until the other side stops taking them; returns the number sent."""
        sent = 0
        while sent < size and not self.reader.at_eof() and not self._is_answered():
            self.writer.write(piece)
            await self.writer.drain()
            sent += len(piece)
        return sent

    def _is_answered(self) -> bool:
        return bool(self.reader._buffer)  # type: ignore[attr-defined]  # noqa: SLF001 - a look that takes nothing out


Visit = Callable[[Line, random.Random], Awaitable[str]]


def _request(method: str, path: str, *headers: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]).encode()


def _json(path: str, body: dict[str, str]) -> bytes:
    content = json.dumps(body).encode()
    size = f"Content-Length: {len(content)}"
    return _request("POST", path, "Content-Type: application/json", size, "Connection: close") + content


async def sign_in(line: Line, rng: random.Random) -> str:
    """Sign in under an unknown name, which costs a hash all the same."""
    name = f"nobody-{rng.getrandbits(48):x}"
    line.writer.write(_json("/api/token/", {"username": name, "password": "a guess"}))
    return await line.status()


async def register(line: Line, rng: random.Random) -> str:
    name = f"new-{rng.getrandbits(48):x}"
    wish = {"username": name, "email": f"{name}@example.com", "password": f"correct horse {name}"}
    line.writer.write(_json("/api/auth/register/", wish))
    return await line.status()


async def large_body(line: Line, rng: random.Random) -> str:
    """A body that claims 2 GB."""
    length = f"Content-Length: {BODY_BYTES}"
    line.writer.write(_request("POST", "/api/token/", "Content-Type: application/json", length))
    await line.pour(PIECE, BODY_BYTES)
    return await line.status()


async def endless_body(line: Line, rng: random.Random) -> str:
    """A body of 2 GB in chunks, whose size is not announced."""
    head = ("Content-Type: application/json", "Transfer-Encoding: chunked")
    line.writer.write(_request("POST", "/api/token/", *head))
    await line.pour(b"%x\r\n%s\r\n" % (len(PIECE), PIECE), BODY_BYTES)
    return await line.status()


async def dripping_head(line: Line, rng: random.Random) -> str:
    return await _drip(line, _request("GET", "/ws/chat/1/", f"X-Long: {'x' * 4_000}"))


async def dripping_body(line: Line, rng: random.Random) -> str:
    line.writer.write(
        _request("POST", "/api/token/", "Content-Type: application/json", "Content-Length: 4000")
    )
    return await _drip(line, b" " * 4_000)


async def _drip(line: Line, data: bytes) -> str:
    for byte in data:
        if line.reader.at_eof():
            break
        line.writer.write(bytes([byte]))
        await line.writer.drain()
        await asyncio.sleep(DRIP_SECONDS)
    return await line.status()


async def many_headers(line: Line, rng: random.Random) -> str:
    line.writer.write(b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    sent = await line.pour(b"".join(b"X-%d: 1\r\n" % n for n in range(1_000)), HEADERS // 1_000 * 8_890)
    if sent >= HEADERS * 8:
        line.writer.write(b"\r\n")
    return await line.status()


async def documents(line: Line, rng: random.Random) -> str:
    path = rng.choice(DOCUMENTS).format(n=f"{rng.getrandbits(32):x}")
    line.writer.write(_request("GET", path, "Connection: close"))
    status = await line.status()
    while await line.reader.read(65_536):
        pass
    return status


async def silent_socket(line: Line, rng: random.Random) -> str:
    """A native socket that never sends `auth`."""
    return await _until_closed(line)


async def guessed_token(line: Line, rng: random.Random) -> str:
    token = f"eyJhbGciOiJIUzI1NiJ9.{rng.getrandbits(256):x}.{rng.getrandbits(256):x}"
    return await _until_closed(line, frame(json.dumps({"type": "auth", "token": token}).encode()))


async def large_frames(line: Line, rng: random.Random) -> str:
    """The longest frames that are read, none of which authenticates."""
    return await _until_closed(line, frame(b'{"type":"send","message":"%s"}' % (b"x" * 130_000)) * 30)


async def _until_closed(line: Line, said: bytes = b"") -> str:
    """The status of the handshake, and the code that the socket was closed with."""
    line.writer.write(handshake(NATIVE, host="127.0.0.1"))
    status = await line.status()
    if status != "101":
        return status
    await line.reader.readuntil(b"\r\n\r\n")
    line.writer.write(said)
    heard = b""
    while (at := heard.find(CLOSING)) < 0 or len(heard) < at + 4:
        data = await line.reader.read(65_536)
        if not data:
            return "cut off"
        heard += data
    return f"closed {int.from_bytes(heard[at + 2 : at + 4])}"


async def silence(line: Line, rng: random.Random) -> str:
    """A connection that sends nothing."""
    return await line.status()


#: How many strangers make each visit at the same time, again and again.
CROWD: dict[Visit, int] = {
    sign_in: 20,
    register: 10,
    large_body: 4,
    endless_body: 4,
    dripping_head: 50,
    dripping_body: 50,
    many_headers: 4,
    documents: 10,
    silence: 100,
    silent_socket: 60,
    guessed_token: 10,
    large_frames: 4,
}


@dataclass
class Strangers:
    """All strangers, for so many seconds; each connection from one of the addresses to one of the ports."""

    ports: list[int]
    addresses: list[str]
    seconds: float
    seed: int
    answers: dict[str, Counter[str]] = field(default_factory=dict)

    async def come(self) -> None:
        """Start all strangers; returns when all have left."""
        rng = random.Random(self.seed)
        async with asyncio.TaskGroup() as group:
            for visit, crowd in CROWD.items():
                self.answers[visit.__name__] = Counter()
                for _ in range(crowd):
                    group.create_task(self._again_and_again(visit, random.Random(rng.getrandbits(64))))

    async def _again_and_again(self, visit: Visit, rng: random.Random) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self.seconds
        while loop.time() < until:
            try:
                async with asyncio.timeout_at(until + GRACE_SECONDS):
                    answer = await self._visit(visit, rng)
            except TimeoutError:
                answer = "still there at the end"
            except OSError:
                answer = "cut off"
            self.answers[visit.__name__][answer] += 1
            await asyncio.sleep(PAUSE_SECONDS)

    async def _visit(self, visit: Visit, rng: random.Random) -> str:
        source = (rng.choice(self.addresses), 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", rng.choice(self.ports), local_addr=source)
        try:
            return await visit(Line(reader, writer), rng)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def main(order: str) -> dict[str, Any]:
    """Run the order; returns how the visits were answered."""
    os.nice(NICENESS)
    strangers = Strangers(**json.loads(order))
    asyncio.run(strangers.come())
    return {name: dict(answers) for name, answers in strangers.answers.items()}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
