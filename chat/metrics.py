"""The instruments of the chat; `docs/operations/metrics.md` explains each to its readers."""

from __future__ import annotations

from realtime import LATENCY_SECONDS, REQUESTS_REFUSED, Counter, Gauge, Histogram

STORED = Counter(
    "relais_chat_messages_stored_total", "Messages that were committed; a duplicate is not stored."
)
ACK_SECONDS = Histogram(
    "relais_chat_ack_seconds",
    "From the moment a send was taken up by its socket until its ack was handed out, after the commit.",
    LATENCY_SECONDS,
)
BATCH_MESSAGES = Histogram(
    "relais_chat_batch_messages", "Messages stored in one transaction.", (1, 2, 4, 8, 16, 32, 64)
)
SENDS_WAITING = Gauge("relais_chat_inbox_waiting_messages", "Messages whose senders wait for an answer.")
CURSOR_MOVES = Counter("relais_chat_cursor_moves_total", "Cursor moves that clients asked for.")
CURSORS_WRITTEN = Counter(
    "relais_chat_cursors_written_total", "Cursors that were written: what joined is written once."
)
CURSORS_WAITING = Gauge("relais_chat_cursors_waiting", "Cursor moves that wait to be written.")

REQUESTS_REFUSED.add("cursors", n=0)
