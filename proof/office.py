"""The office: sends orders to a process of `proof.operator`, and returns when each was done."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any, Self

from bench.machine import ROOT


class OrderError(RuntimeError):
    """The product refused an order."""


class Office:
    """One operator process, as an async context."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "proof.operator", cwd=ROOT, env=self._environment, stdin=pipe, stdout=pipe
        )
        return self

    async def __aexit__(self, *_exception: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 10)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def order(self, do: str, **arguments: Any) -> float:
        """Have an order done; returns the monotonic time at which it was."""
        return float((await self._ask(do, **arguments))["at"])

    async def say(self, user: int, conversation: int, contents: Mapping[str, str]) -> list[tuple[int, int]]:
        """Have messages stored by a program without sockets, under client ids; the id and seq of each."""
        answer = await self._ask("say", user=user, conversation=conversation, contents=contents)
        return [(message_id, seq) for message_id, seq in answer["result"]]

    async def token(self, user: int) -> str:
        """A new access token; the operator's environment says how long it lives."""
        return str((await self._ask("token", user=user))["result"])

    async def _ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        answer: dict[str, Any] = json.loads(await asyncio.wait_for(self._process.stdout.readline(), 60))
        if "error" in answer:
            raise OrderError(f"{do} {arguments}: {answer['error']}")
        return answer
