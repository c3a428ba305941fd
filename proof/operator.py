"""A process that changes accounts and members as administrators and other programs do: `-m proof.operator`.

It is a process of the product without sockets, like `manage.py` or a task queue. It reads orders in JSON, one
per line, and answers each with its result and the monotonic time at which it was done; all processes of a
machine share that clock.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import django

#: Long enough for the password rules; no real user has them.
OLD, NEW = "before-the-proof-17", "after-the-proof-42"


def _actions() -> dict[str, Callable[..., Any]]:
    from django.contrib.auth.hashers import make_password

    from accounts import services as accounts
    from accounts.models import User
    from accounts.tokens import access_token
    from chat import services as chat
    from chat.services import Draft, Sent

    def prepare(user: int) -> None:
        """Set a password that can be changed; hashing takes longer than what is measured."""
        User.objects.filter(pk=user).update(password=make_password(OLD))

    def password(user: int) -> None:
        accounts.change_password(user=User.objects.get(pk=user), old_password=OLD, new_password=NEW)

    def remove(user: int, conversation: int, by: int) -> None:
        chat.remove_member(conversation_id=conversation, by=User.objects.get(pk=by), user_id=user)

    def add(user: int, conversation: int, by: int) -> None:
        users = [User.objects.get(pk=user)]
        chat.add_members(conversation_id=conversation, by=User.objects.get(pk=by), users=users)

    def say(user: int, conversation: int, contents: dict[str, str]) -> list[tuple[int, int]]:
        """Send messages under their client ids, in one transaction; returns the id and seq of each."""
        sender = User.objects.get(pk=user)
        drafts = [Draft(conversation, sender, content, UUID(name)) for name, content in contents.items()]
        outcomes = chat.send_messages(drafts)
        return [(sent.message_id, sent.seq) for sent in outcomes if isinstance(sent, Sent)]

    return {
        "say": say,
        "token": lambda user: access_token(User.objects.get(pk=user)),
        "prepare": prepare,
        "password": password,
        "remove": remove,
        "add": add,
        "ban": lambda user: accounts.deactivate(user=User.objects.get(pk=user)),
        "logout": lambda token: accounts.sign_out(access_token=token),
    }


def main() -> None:
    """Obey orders until the input ends."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    actions = _actions()
    for line in sys.stdin:
        order = json.loads(line)
        answer = {}
        try:
            answer["result"] = actions[order.pop("do")](**order)
        except Exception as problem:  # noqa: BLE001 - told to whoever asked
            answer["error"] = repr(problem)
        print(json.dumps({**answer, "at": time.monotonic()}), flush=True)


if __name__ == "__main__":
    main()
