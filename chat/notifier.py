"""The notifier: unread messages become one entry per member and conversation in their inbox.

A message costs no row per member when it is sent. Once a second, or more rarely when there is much to do,
the conversations that moved are looked at, and what is unread is written for all their members together. The
position of each conversation is kept with it, so nothing is forgotten when a process dies: a sweep finds it.
"""

from __future__ import annotations

import asyncio

from chat import services
from chat.moved import conversations_moved, take_moved
from chat.selectors import conversations_to_note
from realtime.background import runs_with_hub
from realtime.threads import run_in_background

#: Seconds between two rounds: at most one entry per member, conversation and round.
ROUND_SECONDS = 1.0
#: Rounds between two looks at all conversations, for what a process that died left behind.
SWEEP_ROUNDS = 30
#: Conversations in one transaction. Where the database has one writer, sends wait for as long as it takes: at
#: 1,500 sends a second over 200 conversations the p99 of an ack was 42 ms with 5, and 64 ms with 20.
BATCH = 5
#: Rest after each of them, in its own length: entries come later under load, rather than all messages.
REST = 3


@runs_with_hub
async def note_what_is_unread() -> None:
    """Once a second, for ever."""
    loop, rounds = asyncio.get_running_loop(), 0
    while True:
        waiting = take_moved()
        if rounds % SWEEP_ROUNDS == 0:
            waiting = sorted({*waiting, *await run_in_background(conversations_to_note)})
        try:
            for start in range(0, len(waiting), BATCH):
                began = loop.time()
                await run_in_background(services.note_unread, waiting[start : start + BATCH])
                await asyncio.sleep((loop.time() - began) * REST)
        except BaseException:
            conversations_moved(waiting)  # not forgotten; noting one twice changes nothing
            raise
        rounds += 1
        await asyncio.sleep(ROUND_SECONDS)
