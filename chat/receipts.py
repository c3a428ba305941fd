"""The receipts sent to a socket after a resume, encoded once for all sockets that resume together."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from chat import selectors
from chat.events import ReceiptMoved
from realtime import FrameBatch, events

#: Receipts in one batch: a fraction of the room in an outbox.
RECEIPTS_AT_A_TIME = 200


def receipts_told(conversation_ids: Collection[int]) -> dict[int, list[FrameBatch]]:
    """The receipts of these conversations; each skips the member it is about. Uses the database."""
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
