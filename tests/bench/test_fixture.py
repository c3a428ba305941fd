"""`bench/fixture.py` makes people whose tokens open sockets."""

import json
import os
import subprocess
import sys

import msgspec
import pytest

from accounts.tokens import identify
from bench import fixture
from chat import selectors, services
from chat.events import MessageSent
from realtime import log
from tests.servers import ROOT

pytestmark = pytest.mark.django_db


def test_tokens_are_those_of_the_members():
    made = fixture.make(members=3)

    users = [identify(token).user for token in made["tokens"]]
    assert len({user.pk for user in users}) == 3
    assert not any(user.has_usable_password() for user in users)
    for user in users:
        selectors.membership_for(user_id=user.pk, conversation_id=made["conversation_id"])


def test_conversations_share_nobody():
    made = fixture.make(members=2, conversations=3)

    assert len(made["conversations"]) == 3
    assert made["conversation_id"] == made["conversations"][0]["conversation_id"]
    people = {identify(token).user.pk for each in made["conversations"] for token in each["tokens"]}
    assert len(people) == 6


def test_conversations_share_everybody_where_that_is_asked_for():
    made = fixture.make(members=2, conversations=3, shared=True)

    assert len({each["conversation_id"] for each in made["conversations"]}) == 3
    tokens = made["tokens"]
    assert all(each["tokens"] == tokens for each in made["conversations"])
    for each in made["conversations"]:
        for token in tokens:
            user = identify(token).user
            selectors.membership_for(user_id=user.pk, conversation_id=each["conversation_id"])


def test_messages_can_be_resumed():
    made = fixture.make(members=2, messages=20)
    assert len(log.replay(f"conversation.{made['conversation_id']}", after=0, limit=100)) == 20


def test_history_can_be_read_at_any_position_and_written_on():
    made = fixture.make(members=2, history=500)
    user = identify(made["tokens"][0]).user
    membership = selectors.membership_for(user_id=user.pk, conversation_id=made["conversation_id"])

    for before in (51, 300, 501):
        page = selectors.history(membership, before=before, after=None, limit=50)
        assert [message.seq for message in page.messages] == list(range(before - 1, before - 51, -1))
    [sent] = services.send_messages([services.Draft(made["conversation_id"], user, "next")])
    assert isinstance(sent, services.Sent)
    assert sent.seq == 501


def test_logged_history_can_be_resumed():
    made = fixture.make(members=2, history=20, logged=True)

    [first, *_] = events = log.replay(f"conversation.{made['conversation_id']}", after=0, limit=100)
    assert [event.seq for event in events] == list(range(1, 21))
    assert msgspec.json.decode(first.body, type=MessageSent).content == "Message 1 of a long history."


def test_queries_do_not_grow_with_the_members(django_assert_max_num_queries):
    with django_assert_max_num_queries(20):
        fixture.make(members=50)


@pytest.mark.acceptance
@pytest.mark.parametrize("arguments", [["--members", "0"], ["--conversations", "0"], ["--members", "many"]])
def test_impossible_numbers_are_refused(arguments):
    command = [sys.executable, "bench/fixture.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_command_prints_json_and_nothing_else(server_database):
    done = subprocess.run(
        [sys.executable, "bench/fixture.py", "--members", "2"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": server_database, "DJANGO_SETTINGS_MODULE": "config.settings"},
        capture_output=True,
        text=True,
        check=True,
    )
    made = json.loads(done.stdout)
    assert len(made["tokens"]) == 2
    assert made["conversation_id"] > 0
