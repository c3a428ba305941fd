"""A process that stores a message and is killed between its commit and its bell."""

import os
import signal
from typing import Any

import django

django.setup()

from accounts.models import User  # noqa: E402 - models exist from here on
from chat.services import Draft, send_messages  # noqa: E402 - the same
from realtime import publishing  # noqa: E402 - the same


def die(_events: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


publishing.deliver = die  # type: ignore[attr-defined, assignment]  # the fault
send_messages([Draft(123, User.objects.get(username="ana"), "last words")])
