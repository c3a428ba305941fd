"""R9: two processes announce the same events, and one dies meanwhile.

Relais has no relay that hands out positions: a seq is given in the transaction that stores the event, under
the row lock. But delivery exists twice: each process learns of an event by its bell and again from the log,
and each has a notifier that writes inboxes. So the row plays the faults that a relay would have: bells come
twice and in the wrong order, and workers are killed in the middle of a batch. Then no member may have
received an event twice, and no inbox may count a message twice or not at all.
"""

from __future__ import annotations

import asyncio
import random

from proof.resp import Mistreats
from proof.scenario import KEPT, Run, at_least, at_most, scenario
from proof.stage import Stage

#: A worker that died leaves unread conversations, which are noted within 30 s (chat/notifier.py).
SWEPT_SECONDS = 40.0

_WRONG_INBOXES = """
    SELECT count(*) FROM chat_participant p
    LEFT JOIN (
        SELECT user_id, (data ->> 'conversation_id')::bigint AS conversation_id, sum(count) AS told
        FROM notifications_notification WHERE kind = 'message_received' GROUP BY 1, 2
    ) n USING (user_id, conversation_id)
    WHERE coalesce(n.told, 0) <> (
        SELECT count(*) FROM chat_message m
        WHERE m.conversation_id = p.conversation_id AND m.sender_id <> p.user_id
    )
"""


@scenario(
    "R9",
    "30 % of the bells come twice, 30 % in the wrong order; a worker is killed mid-batch: 100 times",
    KEPT,
    at_least("bells doubled", 1),
    at_least("bells in the wrong order", 1),
    at_most("inboxes that do not count each message once", 0),
    short="4 times",
    in_short=False,
)
async def told_twice(run: Run) -> None:
    bells = Mistreats(random.Random(run.rng.getrandbits(64)), doubles=0.3, swaps=0.3)
    async with run.base(redis_mistreats=bells) as (stage, load):
        for _ in range(run.size(100, 4)):
            worker = run.rng.choice(stage.workers)
            async with load.fault():
                await asyncio.sleep(run.rng.random())
                await stage.do(worker.kill)
                await stage.do(worker.start)
            await run.calm(6)  # longer than I6 allows: between two kills all must have everything
        await load.settle()
        run.figure("inboxes that do not count each message once", await _wrong_inboxes(stage))
    run.figure("bells doubled", bells.doubled)
    run.figure("bells in the wrong order", bells.swapped)
    run.notes.append(f"of {bells.seen:,} bells")


async def _wrong_inboxes(stage: Stage) -> int:
    """The number of wrong inboxes, once there are none or they should have been right for long."""
    until = asyncio.get_running_loop().time() + SWEPT_SECONDS
    while True:
        [[wrong]] = await stage.do(stage.sql, _WRONG_INBOXES)
        if not wrong or asyncio.get_running_loop().time() > until:
            return int(wrong)
        await asyncio.sleep(1)
