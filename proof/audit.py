"""What members are told, held to the contract that the server under proof publishes itself.

The clients share two cores with the servers, so of the messages only one in so many is looked at; all other
frames are.
"""

from __future__ import annotations

import http.client
import json
from collections import Counter
from collections.abc import Iterator
from typing import Self

from contract.validation import Contract, Conversation
from proof.verdict import Violation

#: What is broken where a frame is none of the contract.
CONTRACT = "contract"
#: One message in so many: 10,000 deliveries a second cost 0.1 % of a core this way.
EVERY = 50


class Audit:
    """The flaws of all that the members of a load were told."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._messages = 0
        self.looked_at = 0
        self.flaws: Counter[str] = Counter()

    @classmethod
    def of(cls, port: int) -> Self | None:
        """By the contract of the server there; None where a server of an older version publishes none."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("GET", "/api/asyncapi.json")
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        return cls(Contract(json.loads(body))) if answer.status == 200 else None

    def conversation(self, path: str) -> Conversation:
        """What follows on a socket that is opened there."""
        return self._contract.conversation(path)

    def told(self, conversation: Conversation, kind: str, payload: bytes) -> None:
        """A member was told this."""
        if kind == "message":
            self._messages += 1
            if self._messages % EVERY:
                return
        self.looked_at += 1
        flaw = conversation.told(payload)
        if flaw is not None:
            self.flaws[f"{kind}: {flaw}"] += 1

    def violations(self) -> Iterator[Violation]:
        """Each kind of flaw once."""
        for flaw, count in self.flaws.items():
            yield Violation(CONTRACT, f"{flaw} ({count} times)")
