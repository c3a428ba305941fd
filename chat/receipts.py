"""The receipts that a socket is sent after a resume, framed once for all sockets that resume together."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from chat import selectors
from chat.events import ReceiptMoved
from realtime import FrameBatch, events

#: Receipts that are written at a time: a fraction of the room in an outbox.
RECEIPTS_AT_A_TIME = 200


def receipts_told(conversation_ids: Collection[int]) -> dict[int, list[FrameBatch]]:
    """All receipts of these conversations, each for all but the member it is about. Uses the database."""
    return {
        conversation_id: [
            _batch(conversation_id, receipts[start : start + RECEIPTS_AT_A_TIME])
            for start in range(0, len(receipts), RECEIPTS_AT_A_TIME)
        ]
        for conversation_id, receipts in selectors.receipts_in(conversation_ids).items()
    }


def _batch(conversation_id: int, receipts: Sequence[selectors.Receipt]) -> FrameBatch:
    batch = FrameBatch()
    for receipt in receipts:
        event = ReceiptMoved(**receipt._asdict(), conversation_id=conversation_id)
        batch.add(events.encode(event), left_out=(receipt.user_id,), droppable_kind="receipt")
    return batch
