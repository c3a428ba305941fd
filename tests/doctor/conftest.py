"""Fixtures of the doctor's tests: a database with rows of every kind, and a run of the doctor."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command

from accounts import services as accounts
from accounts.forgetting import forget
from accounts.models import User
from accounts.tickets import redeem_ticket, sell_ticket
from accounts.tokens import identify
from chat import services
from chat.models import Conversation
from chat.services import take_moved
from notifications.models import Notification
from notifications.services import mark_all_read, notify
from realtime.defaults import conf
from realtime.log.retention import prune_all
from tests.chat.speaking import head_of, say
from tests.factories import PASSWORD, make_conversation, make_user


@dataclass
class Visit:
    """The output of one run of the doctor."""

    status: int
    lines: list[dict[str, Any]] = field(default_factory=list)

    @property
    def findings(self) -> list[tuple[str, str]]:
        """The findings, each once: the examination and what it found."""
        return sorted({(line["examination"], line["what"]) for line in self.lines if "what" in line})


def visit(*only: str) -> Visit:
    """Run the command, as a machine would."""
    said = io.StringIO()
    status = 0
    try:
        call_command("doctor", "--json", *(["--only", *only] if only else []), stdout=said)
    except SystemExit as end:
        status = int(end.code or 0)
    return Visit(status, [json.loads(line) for line in said.getvalue().splitlines()])


@pytest.fixture
def doctor() -> Callable[..., Visit]:
    return visit


@pytest.fixture
def live(transactional_db: None, settings: Any) -> dict[str, int]:
    """A database in which everything has happened that can; returns the ids of objects that a test may
    damage."""
    settings.RELAIS = {**settings.RELAIS, "log_retention": {"user.": (None, 3)}}
    assert conf.log_retention == {"user.": (None, 3)}
    ana, bruno, dora, clara, emil = map(make_user, ("ana", "bruno", "dora", "clara", "emil"))
    pair = make_conversation(ana, bruno)
    group = make_conversation(ana, bruno, dora, title="Project")
    empty = make_conversation(clara, dora, title="Empty")

    plain = say(group, ana, "plain", uuid4())
    edited = say(group, bruno, "before")
    for text in ("between", "after"):
        services.edit_message(conversation_id=group.pk, message_id=edited.message_id, by=bruno, content=text)
    deleted = say(group, bruno, "confidential")
    services.edit_message(
        conversation_id=group.pk, message_id=deleted.message_id, by=bruno, content="confidential too"
    )
    services.note_unread([group.pk])
    services.delete_message(conversation_id=group.pk, message_id=deleted.message_id, by=ana)
    _come_and_go(group, ana, dora, clara, emil)
    services.rename_conversation(conversation_id=group.pk, by=ana, title="Renamed")
    for number in range(5):
        say(pair, (ana, bruno)[number % 2], f"number {number}")
    services.mark_delivered(user_id=bruno.pk, conversation_id=pair.pk, up_to_seq=4)
    services.note_unread([pair.pk, group.pk])
    services.mark_read(user_id=bruno.pk, conversation_id=pair.pk, up_to_seq=2)
    say(pair, ana, "one more")
    services.note_unread([pair.pk])
    mark_all_read(user_id=ana.pk)

    _sign_in_and_out(ana, bruno, emil)
    forgotten, past = _forget_somebody(ana, dora)
    notify(user=dora, kind="payment_completed", data={"payment_id": 1})
    prune_all()
    take_moved()
    return {
        "ana": ana.pk,
        "bruno": bruno.pk,
        "dora": dora.pk,
        "clara": clara.pk,
        "emil": emil.pk,
        "forgotten": forgotten.pk,
        "past": past.pk,
        "pair": pair.pk,
        "group": group.pk,
        "empty": empty.pk,
        "group_head": head_of(group),
        "plain": plain.message_id,
        "plain_seq": plain.seq,
        "edited": edited.message_id,
        "deleted": deleted.message_id,
        "entry": Notification.objects.get(
            user=bruno, read_at=None, collapse_key=f"conversation.{group.pk}"
        ).pk,
    }


def _come_and_go(group: Conversation, ana: User, dora: User, clara: User, emil: User) -> None:
    services.add_members(conversation_id=group.pk, by=ana, users=[clara, emil])
    services.change_role(conversation_id=group.pk, by=ana, user_id=clara.pk, role="admin")
    say(group, clara, "hello")
    services.note_unread([group.pk])
    # This member has an unread entry.
    services.remove_member(conversation_id=group.pk, by=ana, user_id=dora.pk)
    services.remove_member(conversation_id=group.pk, by=emil, user_id=emil.pk)
    say(group, ana, "without dora")
    services.add_members(conversation_id=group.pk, by=clara, users=[dora])
    say(group, clara, "welcome back")


def _forget_somebody(ana: User, dora: User) -> tuple[User, Conversation]:
    fritz = make_user("fritz")
    past = make_conversation(fritz, ana, dora, title="Past")
    say(past, fritz, "soon nobody's")
    for _ in forget(fritz, deletes_messages=False):
        pass
    return fritz, past


def _sign_in_and_out(ana: User, bruno: User, emil: User) -> None:
    pair = accounts.sign_in(username="ana", password=PASSWORD)
    sell_ticket(identity=identify(pair["access"]))
    redeem_ticket(secret=sell_ticket(identity=identify(pair["access"])))
    accounts.refresh(token=pair["refresh"])
    accounts.sign_in(username="bruno", password=PASSWORD)
    accounts.revoke_all(user=bruno)
    accounts.sign_in(username="emil", password=PASSWORD)
    accounts.deactivate(user=emil)
