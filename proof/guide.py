"""The guide's own server in place of Relais: what it lacks (acks, seqs) is read from its table.

For pages of the guide on Relais, messages are read from the tables of Relais.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any

from bench.peers.guide.server import GuideServer
from proof import tables
from proof.history import Evidence, Heard, Row, Send
from proof.member import Place, speaker_of
from proof.stage import Ground, own_port
from tests import services


class GuideStage(Ground):
    """Two Daphnes with one SQLite file and one Redis."""

    def __init__(self, rng: random.Random, **_ours: Any) -> None:
        super().__init__(rng)
        self._conversations = itertools.count(1)

    async def begin(self) -> None:
        self.redis = await self.started(services.RedisServer(port=own_port()))
        first = await self.do(GuideServer, redis_url=self.redis.url, port=own_port())
        second = GuideServer(redis_url=self.redis.url, port=own_port(), database=first.database)
        self._database = first.database
        self.workers = [await self.started(first), await self.started(second)]

    async def people(self, *, conversations: int, members: int, **_ours: Any) -> list[list[Place]]:
        """Members with made-up user ids: the guide's server knows no users."""
        return [
            [Place(number, number * 10_000 + index) for index in range(members)]
            for number in itertools.islice(self._conversations, conversations)
        ]

    async def rows(self, conversations: Sequence[int]) -> list[Row]:
        """The messages, each with its rank in its conversation as seq, and its text as client id."""
        found: list[Row] = []
        for conversation in conversations:
            messages = await self.do(tables.guides_messages, self._database, conversation)
            found += [
                Row(conversation, place, number, speaker_of(text), text, text)
                for place, (number, text) in enumerate(messages, 1)
            ]
        return found


def ranked(evidence: Evidence) -> Evidence:
    """The evidence by rank: each frame gets the seq of the row with its text, and the text as client id."""
    places = {(row.conversation, row.message_id): row.seq for row in evidence.rows}
    absent = len(evidence.rows) + 1  # for a message that was received and has no row: after all others
    for send in evidence.sends:
        send.client_id = send.content
        send.acks = [
            ack._replace(seq=places.get((send.conversation, ack.message_id), absent)) for ack in send.acks
        ]
    for receiver in evidence.receivers:
        for connection in receiver.connections:
            connection.frames = [
                _ranked(heard, places.get((receiver.conversation, heard.message_id), absent))
                for heard in connection.frames
            ]
    return evidence


def _ranked(heard: Heard, place: int) -> Heard:
    return heard._replace(seq=place, client_id=heard.content)


def named(rows: Sequence[Row], sends: Sequence[Send]) -> list[Row]:
    """The rows of Relais, with the sends' names for messages of guide pages, which send no client id."""
    by_id = {(send.conversation, ack.message_id): send.client_id for send in sends for ack in send.acks}
    by_text = {(send.conversation, send.sender, send.content): send.client_id for send in sends}
    return [
        row
        if row.client_id
        else row._replace(
            client_id=by_id.get((row.conversation, row.message_id))
            or by_text.get((row.conversation, row.sender, row.content), "")
        )
        for row in rows
    ]
