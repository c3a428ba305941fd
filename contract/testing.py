"""A pytest plugin that compares every frame of a test's sockets with the contract.

    pytest_plugins = ["realtime.testing", "contract.testing"]

A test fails at its end if the server sent a frame that the contract does not know, or a client one that it
does not allow. A test sends a frame that is wrong on purpose with `send_wrong`, and fails if the contract
allows it; `send_text` takes either kind. Sockets outside the contract are not checked.
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
    """Checks the frames of one socket, and notes each flaw."""

    def __init__(self, path: str, subprotocols: Sequence[str] = ()) -> None:
        self._path = path.partition("?")[0]
        self._conversation: Conversation = contract().conversation(path, subprotocols)

    def told(self, payload: str | bytes) -> None:
        """Check a frame of the server."""
        self._note("the server told", payload, self._conversation.told(payload))

    def said(self, payload: str | bytes, manner: testing.Manner = "right") -> None:
        """Check a frame of the client; `manner` says whether it should be right, wrong, or either."""
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
    """For a test whose sockets belong to another server: no frame counts against it."""
    yield
    _flaws.clear()


@pytest.fixture(scope="session", autouse=True)
def _frames_are_seen() -> Iterator[None]:
    contract()  # before a test registers feeds or commands of its own
    testing.witness_of = Witness
    yield
    testing.witness_of = None


@pytest.fixture(autouse=True)
def _contract_is_kept() -> Iterator[None]:
    yield
    flaws, _flaws[:] = list(_flaws), []
    assert not flaws, "\n".join(["The contract was broken:", *flaws[:5]])
