"""The notifier writes unread messages into inboxes: one entry per member and conversation.

A message costs no row per member when it is sent. Once a second, or more rarely under load, the notifier
takes the conversations that have new events, and writes the unread entries of all their members together. The
seq up to which a conversation was noted is stored in the same transaction: nothing is lost when a process
dies or a write fails. A conversation that could not be noted is tried again, and holds up no other.
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
#: Rounds between two sweeps of all conversations, which find what a process left behind that died.
SWEEP_ROUNDS = 30
#: Conversations in one transaction. Where the database has one writer, sends wait for that long: at 1,500
#: sends a second over 200 conversations the p99 of an ack was 42 ms with 5, and 64 ms with 20.
BATCH = 5
#: The rest after a transaction, as a multiple of its length: under load entries come later, not messages.
REST = 3
#: Seconds before a failed conversation is tried again: the first wait, doubled up to the sweep's period.
RETRY_SECONDS, LONGEST_RETRY_SECONDS = 1.0, 30.0


class Failing:
    """The conversations that could not be noted, each with the time of its next try; logs a cause once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        #: By conversation: the time of its next try, the wait before it, and the cause.
        self._failed: dict[int, tuple[float, float, str]] = {}

    def failed(self, conversation_id: int, error: Exception) -> None:
        """Note that writing a conversation's entries failed."""
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
        """Note that these conversations were written."""
        if self._failed:
            for conversation_id in conversation_ids:
                self._failed.pop(conversation_id, None)

    def due(self) -> set[int]:
        """The conversations to be tried now."""
        return {pk for pk, (at, _, _) in self._failed.items() if at <= self._clock()}

    def resting(self) -> set[int]:
        """The conversations that still wait for their next try."""
        return self._failed.keys() - self.due()


@runs_with_hub
async def note_what_is_unread() -> None:
    """Write unread entries once a second, as long as the hub runs."""
    loop, rounds = asyncio.get_running_loop(), 0
    failing, pause = Failing(loop.time), ROUND_SECONDS
    while True:
        waiting = {*services.take_moved(), *failing.due()}
        try:
            if rounds % SWEEP_ROUNDS == 0:
                waiting |= set(await run_in_background(conversations_to_note))
            await _note(waiting, failing)
            rounds, pause = rounds + 1, ROUND_SECONDS
        except UnavailableError as error:  # the database is away for every conversation
            outages.DATABASE.noticed(error)
            pause = min(2 * pause, LONGEST_RETRY_SECONDS)
        finally:
            services.conversations_moved(waiting)  # what is left; noting a conversation twice changes nothing
        await asyncio.sleep(pause)


async def _note(waiting: set[int], failing: Failing) -> None:
    """Note these conversations, a few at a time; each is removed from `waiting` once it is done."""
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
