"""Every frame that a test's sockets say and are told is held to the contract; load it as a pytest plugin.

    pytest_plugins = ["realtime.testing", "contract.testing"]

A test in which the server tells what the contract does not know, or a client says what it does not allow,
fails at its end. What is wrong on purpose goes out by `send_wrong`, and must not be allowed by the
contract; what may be either, by `send_text`. On a socket that is not in the contract nothing is judged.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import pytest

from contract import asyncapi
from contract.validation import Contract, Conversation
from realtime import testing

_flaws: list[str] = []


@functools.cache
def contract() -> Contract:
    """The contract of this project."""
    return Contract(asyncapi.document())


class Witness:
    """Sees what is said on one socket, and remembers what is wrong with it."""

    def __init__(self, path: str, subprotocols: Sequence[str] = ()) -> None:
        self._path = path.partition("?")[0]
        self._conversation: Conversation = contract().conversation(path, subprotocols)

    def told(self, payload: str | bytes) -> None:
        """The server told this."""
        self._note("the server told", payload, self._conversation.told(payload))

    def said(self, payload: str | bytes, manner: testing.Manner = "right") -> None:
        """The client said this, which is what it should be, or what no client should say."""
        flaw = self._conversation.said(payload)
        if manner == "wrong":
            flaw = None if flaw else "which the contract allows, and the test does not expect it to"
        self._note("a client said", payload, None if manner == "any" else flaw)

    def _note(self, who: str, payload: str | bytes, flaw: str | None) -> None:
        if flaw is not None:
            text = payload if isinstance(payload, str) else payload.decode(errors="replace")
            _flaws.append(f"{who}, on {self._path}: {text[:300]}\n    {flaw}")


@pytest.fixture
def unjudged(_contract_is_kept: None) -> Iterator[None]:
    """For a test whose sockets are another server's: nothing that it is told is held against it."""
    yield
    _flaws.clear()


@pytest.fixture(scope="session", autouse=True)
def _frames_are_seen() -> Iterator[None]:
    contract()  # before a test registers something of its own
    testing.witness_of = Witness
    yield
    testing.witness_of = None


@pytest.fixture(autouse=True)
def _contract_is_kept() -> Iterator[None]:
    yield
    flaws, _flaws[:] = list(_flaws), []
    assert not flaws, "\n".join(["The contract was broken:", *flaws[:5]])
