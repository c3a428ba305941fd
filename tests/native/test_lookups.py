"""The queries of a page that opens: one for the identity, and one for everything the page may hear."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest
from django.db.backends.utils import CursorWrapper

from chat import notifier, services
from chat.events import conversation_topic
from chat.models import Conversation
from realtime.database import batch_loader
from realtime.testing import TestSocket, eventually, open_socket
from tests.chat.speaking import aside
from tests.factories import make_conversation, make_user

CONVERSATIONS, PEOPLE = 20, 5


@pytest.fixture
def people(ana, bruno):
    return [ana, bruno, *[make_user(f"user-{number}") for number in range(PEOPLE - 2)]]


@pytest.fixture
def conversations(people) -> list[Conversation]:
    return [make_conversation(*people, title=f"room {number}") for number in range(CONVERSATIONS)]


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """The queries about people and conversations, by any thread, from now on."""
    # Events of earlier tests need no look-up now.
    services.take_moved()
    monkeypatch.setattr(notifier, "conversations_to_note", list)
    # The commands of one turn are one batch, however long the machine stands still while they are read.
    monkeypatch.setattr(batch_loader, "GATHER_SECONDS", 60)
    statements: list[str] = []
    execute = CursorWrapper.execute

    def noted(self, sql, params=None):
        # The head check is left out: that is one question about all topics of a process.
        if '"accounts_' in sql or '"chat_' in sql:
            statements.append(sql)
        return execute(self, sql, params)

    monkeypatch.setattr(CursorWrapper, "execute", noted)
    return statements


async def subscribe_to(socket: TestSocket, topics: Sequence[str], **first: Any) -> None:
    """Subscribe to all topics at once, as a page does that opens; the first one has further options."""
    for number, topic in enumerate(topics):
        await socket.send({"type": "subscribe", "topic": topic} | ({} if number else first))
    answers = [await socket.receive_until("subscribed") for _ in topics]
    assert {answer["topic"] for answer in answers} == set(topics)


@pytest.mark.parametrize(
    ("first", "queries"),
    [
        ({}, 2),  # the identity; the memberships
        # Also, for that one, the membership and the page as of one moment, and the receipts.
        ({"snapshot": 20}, 5),
    ],
)
async def test_twenty_subscriptions_cost_a_few_queries(
    bruno, conversations, asked, token_of, hub, first, queries
):
    token = await aside(token_of)(bruno)
    topics = [conversation_topic(conversation.pk) for conversation in conversations]
    asked.clear()

    async with open_socket("/ws/", token=token) as socket:
        await subscribe_to(socket, topics, **first)
        await eventually(lambda: len(asked) >= queries)

    assert len(asked) == queries, asked


@pytest.mark.parametrize(
    ("wish", "queries"),
    [
        ({}, 2),  # the identity; the memberships
        ({"snapshot": 20}, 6),  # and four for the list of conversations, however long it is
    ],
)
async def test_everything_of_mine_costs_a_few_queries(
    bruno, conversations, asked, token_of, hub, wish, queries
):
    token = await aside(token_of)(bruno)
    asked.clear()

    async with open_socket("/ws/", token=token) as socket:
        await subscribe_to(socket, ["mine"], **wish)

    assert len(asked) == queries, asked


async def test_sockets_that_connect_together_ask_together(people, conversations, asked, token_of, hub):
    tokens = [await aside(token_of)(user) for user in people]
    topics = [conversation_topic(conversation.pk) for conversation in conversations]
    asked.clear()

    async with AsyncExitStack() as stack:
        opening = [stack.enter_async_context(open_socket("/ws/", token=token)) for token in tokens]
        sockets = await asyncio.gather(*opening)
        await asyncio.gather(*[subscribe_to(socket, topics) for socket in sockets])

        assert len(asked) == 2, asked
