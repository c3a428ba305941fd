"""The guide's own server in our server's place: what it lacks (acks, seqs) is read from its table.

And what is read from ours, where pages of the guide talk on it.
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
        """It knows nobody: people are numbers of ours."""
        return [
            [Place(number, number * 10_000 + index) for index in range(members)]
            for number in itertools.islice(self._conversations, conversations)
        ]

    async def rows(self, conversations: Sequence[int]) -> list[Row]:
        """Each message at its place among those of its conversation, and named by its text."""
        found: list[Row] = []
        for conversation in conversations:
            messages = await self.do(tables.guides_messages, self._database, conversation)
            found += [
                Row(conversation, place, number, speaker_of(text), text, text)
                for place, (number, text) in enumerate(messages, 1)
            ]
        return found


def ranked(evidence: Evidence) -> Evidence:
    """The evidence by the places of the rows: a message stands where its row stands, under its text."""
    places = {(row.conversation, row.message_id): row.seq for row in evidence.rows}
    absent = len(evidence.rows) + 1  # told, and no row: behind everything
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
    """The rows of ours, those that pages of the guide said under the names of their sends: they give none."""
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
