"""The proxy passes on everything unchanged until it is told to misbehave, and then does exactly that."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from proof.proxy import Proxy

pytestmark = pytest.mark.stack("small")


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[Proxy]:
    """A proxy in front of a server that sends back what it receives."""

    async def repeat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(repeat, "127.0.0.1", 0)
    async with server, Proxy(server.sockets[0].getsockname()[1]) as proxy:
        yield proxy
        proxy.cut()


@contextlib.asynccontextmanager
async def through(proxy: Proxy) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    yield reader, writer
    writer.close()


async def test_bytes_come_back_as_they_went():
    said = bytes(range(256)) * 8_000
    async with echo() as proxy, through(proxy) as (reader, writer):
        writer.write(said)

        assert await reader.readexactly(len(said)) == said


async def test_cut_connection_is_reset_and_the_next_one_passes():
    async with echo() as proxy:
        async with through(proxy) as (reader, writer):
            writer.write(b"before")
            await reader.readexactly(6)
            proxy.cut()
            with pytest.raises(ConnectionResetError):
                await reader.readexactly(1)
        async with through(proxy) as (reader, writer):
            writer.write(b"after")

            assert await reader.readexactly(5) == b"after"


async def test_frozen_connection_stands_and_goes_on_when_it_is_thawed():
    async with echo() as proxy, through(proxy) as (reader, writer):
        writer.write(b"one")
        await reader.readexactly(3)
        proxy.freeze()
        writer.write(b"two")
        async with through(proxy) as (other, speaker):
            speaker.write(b"new")
            waiting = [asyncio.create_task(r.readexactly(3)) for r in (reader, other)]
            done, _ = await asyncio.wait(waiting, timeout=0.2)
            proxy.thaw()

            assert not done
            assert await asyncio.gather(*waiting) == [b"two", b"new"]


async def test_delayed_bytes_are_late_and_in_order():
    arrived = asyncio.Event()

    def note(_data: bytes) -> float:
        arrived.set()
        return 0.0

    async with echo() as proxy, through(proxy) as (reader, writer):
        proxy.delay, proxy.hesitates = 0.1, note
        started = asyncio.get_running_loop().time()
        writer.write(b"01234")
        await arrived.wait()  # otherwise it might find the proxy without its delay
        proxy.delay = 0.0
        writer.write(b"56789")

        assert await reader.readexactly(10) == b"0123456789"
        assert asyncio.get_running_loop().time() - started >= 0.1


async def test_throttled_bytes_take_their_time():
    async with echo() as proxy, through(proxy) as (reader, writer):
        proxy.rate = 100_000
        started = asyncio.get_running_loop().time()
        writer.write(bytes(20_000))
        await reader.readexactly(20_000)

        assert asyncio.get_running_loop().time() - started >= 0.2


async def test_filter_sees_what_comes_back():
    async with echo() as proxy:
        proxy.filter_down = lambda: bytes.upper
        async with through(proxy) as (reader, writer):
            writer.write(b"softly")

            assert await reader.readexactly(6) == b"SOFTLY"
