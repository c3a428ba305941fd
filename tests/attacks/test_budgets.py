"""The requests of strangers cost what the table says, on both servers, and the table leaves none out."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.contrib.sessions.models import Session
from django.test import Client

from tests.attacks import budgets
from tests.attacks.targets import NO_LIMITS
from tests.conftest import Backends
from tests.servers import ServerProcess


@pytest.fixture(params=["daphne", "uvicorn"])
def server(request: pytest.FixtureRequest, new_backends: Callable[[], Backends]) -> Iterator[ServerProcess]:
    with ServerProcess(request.param, **vars(new_backends()), env=NO_LIMITS) as running:
        yield running


def test_every_request_of_strangers_has_a_budget():
    table = budgets.table()

    assert [name for name in budgets.requests() if budgets.budget_of(name, table) is None] == []


def test_every_budget_is_of_something_that_can_be_asked():
    asked = budgets.requests()
    idle = [row for row in budgets.table() if not any(name.startswith(row.rstrip("…")) for name in asked)]

    assert idle == []


def test_reading_makes_no_session(client: Client, db: None):
    for name, request in budgets.requests().items():
        if request.method == "GET" and not name.startswith(("GET /health", "GET /metrics", "GET /static")):
            client.get(request.path.replace("{n}", "7"), headers=request.headers)

    assert not Session.objects.exists()


@pytest.mark.acceptance
@pytest.mark.timeout(600)
def test_nothing_costs_more_than_its_budget(server: ServerProcess):
    table = budgets.table()

    measured = budgets.Meter(server).measure(budgets.requests())

    over = {}
    for name, (cpu, size) in measured.items():
        budget = budgets.budget_of(name, table)
        assert budget is not None, name
        if cpu > budget.cpu or size > budget.size:
            over[name] = f"{cpu:.1f} of {budget.cpu} times, {size} of {budget.size} bytes"
    assert over == {}
