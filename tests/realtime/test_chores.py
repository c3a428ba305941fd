"""Expired rows are deleted in small steps, by any worker that has the time."""

from __future__ import annotations

import datetime as dt

import pytest
from django.contrib.sessions.models import Session as AdminSession
from django.core.management import call_command
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from accounts.models import Ticket, User
from notifications.models import IdempotencyKey
from realtime import chores
from realtime.errors import UnavailableError

YESTERDAY, TOMORROW = (timezone.now() + dt.timedelta(days=days) for days in (-2, 1))


def expired_and_valid(ana: User, *, many: int = 1) -> None:
    """Store `many` of everything that has expired, and one of each that has not."""
    moments = [YESTERDAY] * many + [TOMORROW]
    tokens = [
        OutstandingToken(user=ana, jti=f"{n:032}", token="", created_at=YESTERDAY, expires_at=moment)
        for n, moment in enumerate(moments)
    ]
    BlacklistedToken.objects.bulk_create(
        BlacklistedToken(token=token) for token in OutstandingToken.objects.bulk_create(tokens)
    )
    Ticket.objects.bulk_create(
        Ticket(digest=f"{n:064}", user=ana, expires_at=moment, token_expires_at=TOMORROW)
        for n, moment in enumerate(moments)
    )
    AdminSession.objects.bulk_create(
        AdminSession(session_key=f"{n:032}", session_data="", expire_date=moment)
        for n, moment in enumerate(moments)
    )
    IdempotencyKey.objects.bulk_create(
        IdempotencyKey(scope="s", key=f"k{n}", fingerprint="f", created_at=moment)
        for n, moment in enumerate(moments)
    )


def left() -> dict[str, int]:
    kinds = (OutstandingToken, BlacklistedToken, Ticket, AdminSession, IdempotencyKey)
    return {kind.__name__: kind.objects.count() for kind in kinds}


ONE_OF_EACH = dict.fromkeys(("OutstandingToken", "BlacklistedToken", "Ticket", "Session"), 1)
ONE_OF_EACH["IdempotencyKey"] = 1


def test_command_forgets_what_has_expired_and_nothing_else(
    ana: User, capsys: pytest.CaptureFixture[str]
) -> None:
    expired_and_valid(ana, many=3)

    call_command("chores")

    assert left() == ONE_OF_EACH
    told = dict(line.split(": ") for line in capsys.readouterr().out.splitlines())
    assert told.pop("log") == "0 forgotten"
    assert set(told.values()) == {"3 forgotten"}


def test_more_than_a_step_is_forgotten_in_steps(ana: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chores, "ROWS", 2)
    expired_and_valid(ana, many=5)
    sizes = []
    for chore in chores.registered():
        done, position = chore.step(None)
        sizes.append(done)
        while position is not None:
            done, position = chore.step(position)
            sizes.append(done)

    assert left() == ONE_OF_EACH
    assert max(sizes) == 2


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> dict[str, chores.Chore]:
    """Chores of this test alone."""
    mine: dict[str, chores.Chore] = {}
    monkeypatch.setattr(chores, "_chores", mine)
    monkeypatch.setattr(chores, "_done_at", {})
    monkeypatch.setattr(chores, "REST_SECONDS", 0)
    return mine


async def test_chore_that_fails_keeps_no_other(
    listed: dict[str, chores.Chore], transactional_db: None, caplog: pytest.LogCaptureFixture
) -> None:
    @chores.daily("a_failing")
    def fail(_position: object) -> tuple[int, object]:
        raise RuntimeError("of this one")

    @chores.daily("b_counting")
    def count(position: object) -> tuple[int, object]:
        return (4, "on") if position is None else (3, None)

    await chores.do_chores()

    assert set(chores._done_at) == {("b_counting",)}
    [done] = [record for record in caplog.records if record.getMessage() == "A chore is done"]
    assert (vars(done)["chore"], vars(done)["forgotten"]) == ("b_counting", 7)
    assert any("a_failing failed" in record.getMessage() for record in caplog.records)


async def test_outage_during_a_chore_is_left_to_the_log_of_outages(
    listed: dict[str, chores.Chore], transactional_db: None
) -> None:
    @chores.daily("away")
    def away(_position: object) -> tuple[int, object]:
        raise UnavailableError

    with pytest.raises(UnavailableError):
        await chores.do_chores()
    assert chores._done_at == {}


def test_every_chore_is_documented() -> None:
    from pathlib import Path

    page = (Path(__file__).parents[2] / "docs/operations/chores.md").read_text()

    assert [chore.name for chore in chores.registered() if f"| `{chore.name}` |" not in page] == []
    assert len(chores.registered()) >= 5
