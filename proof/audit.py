"""Audit: the frames that members receive are compared with the contract that the server itself publishes.

The clients share two cores with the servers, so of the messages only a sample is compared; all other frames
are.
"""

from __future__ import annotations

import http.client
import json
from collections import Counter
from collections.abc import Iterator
from typing import Self

from contract.validation import Contract, Conversation
from proof.verdict import Violation

#: The name of the promise in a violation.
CONTRACT = "contract"
#: One message in so many: at 10,000 deliveries a second this costs 0.1 % of a core.
EVERY = 50


class Audit:
    """The flaws of all frames that the members of a load received."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._messages = 0
        self.looked_at = 0
        self.flaws: Counter[str] = Counter()

    @classmethod
    def of(cls, port: int) -> Self | None:
        """An audit by the contract of the server at a port; None where an older version publishes none."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("GET", "/api/asyncapi.json")
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        return cls(Contract(json.loads(body))) if answer.status == 200 else None

    def conversation(self, path: str) -> Conversation:
        """The contract's view of one socket that is opened at a path."""
        return self._contract.conversation(path)

    def told(self, conversation: Conversation, kind: str, payload: bytes) -> None:
        """Compare a frame that a member received."""
        if kind == "message":
            self._messages += 1
            if self._messages % EVERY:
                return
        self.looked_at += 1
        flaw = conversation.told(payload)
        if flaw is not None:
            self.flaws[f"{kind}: {flaw}"] += 1

    def violations(self) -> Iterator[Violation]:
        """The violations, each kind of flaw once."""
        for flaw, count in self.flaws.items():
            yield Violation(CONTRACT, f"{flaw} ({count} times)")
