"""The notifier makes unread messages one entry per member and conversation in their inbox.

A message costs no row per member when it is sent. Once a second, or more rarely when there is much to do,
it takes the conversations that moved, and writes what is unread for all their members together. Up to which
seq a conversation was noted is stored with it, in the transaction that writes: nothing is forgotten when a
process dies or a write fails. What failed is tried again, and nothing else waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection

from chat import services
from chat.selectors import conversations_to_note
from realtime import UnavailableError, outages, run_in_background, runs_with_hub

logger = logging.getLogger(__name__)

#: Seconds between two rounds: at most one entry per member, conversation and round.
ROUND_SECONDS = 1.0
#: Rounds between two looks at all conversations, for what a process that died left behind.
SWEEP_ROUNDS = 30
#: Conversations in one transaction. Where the database has one writer, sends wait for as long as it takes: at
#: 1,500 sends a second over 200 conversations the p99 of an ack was 42 ms with 5, and 64 ms with 20.
BATCH = 5
#: Rest after each of them, in its own length: entries come later under load, rather than all messages.
REST = 3
#: Seconds before what failed is tried again, doubled each time up to the second number: a sweep's time.
RETRY_SECONDS, LONGEST_RETRY_SECONDS = 1.0, 30.0


class Failing:
    """The conversations that could not be noted, and when each is tried again; each cause is logged once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        #: By conversation: when it is tried again, how long it rested before, and why it failed.
        self._failed: dict[int, tuple[float, float, str]] = {}

    def failed(self, conversation_id: int, error: Exception) -> None:
        """A conversation could not be noted, once more or for the first time."""
        _, rest, _ = self._failed.get(conversation_id, (0.0, RETRY_SECONDS / 2, ""))
        rest, cause = min(2 * rest, LONGEST_RETRY_SECONDS), repr(error)
        if all(cause != known for _, _, known in self._failed.values()):
            logger.error(
                "The inboxes of conversation %d could not be written; they are tried again",
                conversation_id,
                exc_info=error,
            )
        self._failed[conversation_id] = (self._clock() + rest, rest, cause)

    def worked(self, conversation_ids: Collection[int]) -> None:
        """These conversations were noted."""
        if self._failed:
            for conversation_id in conversation_ids:
                self._failed.pop(conversation_id, None)

    def due(self) -> set[int]:
        """The conversations to be tried now."""
        return {pk for pk, (at, _, _) in self._failed.items() if at <= self._clock()}

    def resting(self) -> set[int]:
        """The conversations that wait for their next try."""
        return self._failed.keys() - self.due()


@runs_with_hub
async def note_what_is_unread() -> None:
    """Note what is unread, once a second, for ever."""
    loop, rounds = asyncio.get_running_loop(), 0
    failing, pause = Failing(loop.time), ROUND_SECONDS
    while True:
        waiting = {*services.take_moved(), *failing.due()}
        try:
            if rounds % SWEEP_ROUNDS == 0:
                waiting |= set(await run_in_background(conversations_to_note))
            await _note(waiting, failing)
            rounds, pause = rounds + 1, ROUND_SECONDS
        except UnavailableError as error:  # the database is away for all of them
            outages.DATABASE.noticed(error)
            pause = min(2 * pause, LONGEST_RETRY_SECONDS)
        finally:
            services.conversations_moved(waiting)  # those left; noting one twice changes nothing
        await asyncio.sleep(pause)


async def _note(waiting: set[int], failing: Failing) -> None:
    """Note these conversations, a few at a time, and take each out once it is done."""
    clock = asyncio.get_running_loop().time
    waiting -= failing.resting()
    while some := sorted(waiting)[:BATCH]:
        began = clock()
        try:
            await run_in_background(services.note_unread, some)
            failing.worked(some)
        except UnavailableError:
            raise
        except Exception:  # noqa: BLE001 - logged for the one that is to blame
            for conversation_id in some:
                await _note_alone(conversation_id, failing)
        waiting.difference_update(some)
        await asyncio.sleep((clock() - began) * REST)


async def _note_alone(conversation_id: int, failing: Failing) -> None:
    try:
        await run_in_background(services.note_unread, [conversation_id])
    except UnavailableError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the others are noted
        failing.failed(conversation_id, error)
    else:
        failing.worked([conversation_id])
