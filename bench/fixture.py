"""Users to put under load: `python bench/fixture.py --members 1000 > fixture.json`.

Prints {"conversation_id": …, "tokens": […], …} for any load tool, having created the users, the conversation
and a session per user in the database that DATABASE_URL names. The tokens are real access tokens and live
as long as ACCESS_TOKEN_TTL says (an hour by default): set it for this command when a load takes longer. The
users have no password, so nobody signs in as them.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
from collections.abc import Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
if not TYPE_CHECKING and str(ROOT) not in sys.path:  # Python was started by path, and looks in bench/ only
    sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from accounts.models import User
    from chat.models import Conversation

#: Rows in one INSERT: SQLite allows 32,766 variables, and a user has a dozen columns.
BATCH = 1_000
#: Messages that the product's own service stores in one transaction.
SENT_TOGETHER = 64


def make(
    *,
    members: int,
    conversations: int = 1,
    shared: bool = False,
    messages: int = 0,
    history: int = 0,
    logged: bool = False,
) -> dict[str, Any]:
    """Create conversations with so many members each, and a token per member.

    Each conversation has its own users, or with `shared` all have the same ones.
    """
    users = _users(members if shared else members * conversations)
    tokens = _tokens(users)
    made = []
    for number in range(conversations):
        share = slice(0 if shared else number * members, None if shared else (number + 1) * members)
        conversation = _conversation(users[share], title=f"bench {number + 1}")
        if messages:
            _send(conversation, users[share], messages)
        if history:
            from bench.rows import insert_history, log_history

            insert_history(conversation_id=conversation.pk, sender_id=users[share][0].pk, count=history)
            if logged:
                log_history(conversation_id=conversation.pk)
        made.append({"conversation_id": conversation.pk, "tokens": tokens[share]})
    return {**made[0], "messages": messages or history, "conversations": made}


def _users(count: int) -> list[User]:
    from django.contrib.auth.hashers import make_password

    from accounts.models import User

    # Unusable, and the same for all: hashing ten thousand passwords would take minutes.
    password = make_password(None)
    # A new prefix each time, so that the command can run again on the same database.
    prefix = f"bench-{secrets.token_hex(3)}"
    # Names of equal length make the frames of messages equally long, for a fair comparison.
    people = [User(username=f"{prefix}-{n:05d}", email=None, password=password) for n in range(count)]
    return User.objects.bulk_create(people, batch_size=BATCH)


def _tokens(users: Sequence[User]) -> list[str]:
    from accounts.models import Session
    from accounts.tokens import AccessToken

    sessions = Session.objects.bulk_create(
        [Session(user=user, user_agent="bench/fixture.py") for user in users], batch_size=BATCH
    )
    tokens = []
    for session in sessions:
        token = AccessToken()
        token["user_id"], token["sid"] = str(session.user_id), str(session.pk)
        tokens.append(str(token))
    return tokens


def _conversation(users: Sequence[User], *, title: str) -> Conversation:
    from chat.events import conversation_topic
    from chat.models import Conversation, Participant
    from realtime import log

    # Not by the service, which would publish an event on each member's own topic: ten thousand that nobody
    # reads.
    conversation = Conversation.objects.create(title=title, created_by=users[0], opens_history=True)
    roles = chain([Participant.Role.OWNER], repeat(Participant.Role.MEMBER))
    Participant.objects.bulk_create(
        [
            Participant(conversation=conversation, user=user, role=role)
            for user, role in zip(users, roles, strict=False)
        ],
        batch_size=BATCH,
    )
    log.lock([conversation_topic(conversation.pk)])
    return conversation


def _send(conversation: Conversation, users: Sequence[User], count: int) -> None:
    from chat.services import Draft, send_messages

    for start in range(0, count, SENT_TOGETHER):
        numbers = range(start, min(start + SENT_TOGETHER, count))
        send_messages([Draft(conversation.pk, users[n % len(users)], f"Missed {n:08d}") for n in numbers])


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--members", type=int, default=1000, help="of each conversation")
    parser.add_argument("--conversations", type=int, default=1, help="each with members of its own")
    parser.add_argument("--shared", action="store_true", help="give all conversations the same members")
    parser.add_argument("--messages", type=int, default=0, help="sent in each, as the product sends them")
    parser.add_argument(
        "--history", type=int, default=0, help="rows in each, by SQL: for REST, not for ?since="
    )
    parser.add_argument("--logged", action="store_true", help="give the rows of --history their events")
    options = parser.parse_args(arguments)
    if options.members < 1 or options.conversations < 1:
        parser.error("a conversation needs a member, and there must be one conversation")

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django
    from django.db import transaction

    django.setup()
    with transaction.atomic():
        made = make(**vars(options))
    json.dump(made, sys.stdout)


if __name__ == "__main__":
    main()
