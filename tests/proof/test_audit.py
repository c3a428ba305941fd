"""The audit checks members' frames against the contract: all but messages, and one in so many of those."""

from __future__ import annotations

import json

import pytest

from contract.testing import contract
from contract.validation import Contract
from proof.audit import CONTRACT, EVERY, Audit

pytestmark = pytest.mark.stack("small")

PATH = "/ws/chat/7/?v=1"
RECEIPT = {"type": "receipt", "user_id": 1, "delivered_seq": 1, "read_seq": 1, "conversation_id": 7}


@pytest.fixture
def audit() -> Audit:
    judged: Contract = contract()
    return Audit(judged)


def tell(audit: Audit, **frame: object) -> None:
    audit.told(audit.conversation(PATH), str(frame["type"]), json.dumps(frame).encode())


def test_field_too_many_is_a_violation_and_is_counted(audit: Audit) -> None:
    tell(audit, **RECEIPT)
    assert list(audit.violations()) == []

    for _ in range(3):
        tell(audit, **RECEIPT, more=1)
    [violation] = audit.violations()
    assert violation.invariant == CONTRACT
    assert "more" in violation.says
    assert "3 times" in violation.says


def test_one_message_in_so_many_is_looked_at(audit: Audit) -> None:
    for _ in range(2 * EVERY):
        tell(audit, type="message", content="not all of it")

    assert audit.looked_at == 2
    assert sum(audit.flaws.values()) == 2


def test_place_that_the_contract_does_not_know_is_not_judged(audit: Audit) -> None:
    audit.told(audit.conversation("/ws/elsewhere/"), "receipt", b"{}")

    assert list(audit.violations()) == []
