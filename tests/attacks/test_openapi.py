"""Requests that schemathesis makes from the OpenAPI document cause no 500 and no undocumented answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import checks

from tests.acceptance.people import People
from tests.attacks.targets import NO_LIMITS
from tests.conftest import Backends
from tests.servers import ServerProcess

#: Left out, because they would end the caller's session, or lock the user out.
LEFT_OUT = ("/api/auth/logout/", "/api/auth/password/")
EXAMPLES = 10


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def server(request: pytest.FixtureRequest, new_backends: Callable[[], Backends]) -> Iterator[ServerProcess]:
    with ServerProcess(request.param, **vars(new_backends()), env=NO_LIMITS) as running:
        yield running


@pytest.mark.acceptance
@pytest.mark.timeout(240)
@pytest.mark.parametrize("signed_in", [True, False], ids=["signed in", "anonymous"])
def test_every_operation_answers_as_documented(server: ServerProcess, signed_in: bool):
    schema = schemathesis.openapi.from_url(f"{server.url}/api/schema/")
    token = People(server).token("bruno")
    headers = {"Authorization": f"Bearer {token}"} if signed_in else {}
    tried = []
    for result in schema.get_all_operations():
        operation: Any = result.ok()  # type: ignore[union-attr]  # an Err has no `ok()`, and fails here
        if operation.path in LEFT_OUT:
            continue
        tried.append(operation.label)
        _try(operation, headers, is_refused=not signed_in and operation.path in GUARDED)

    assert len(tried) > 20
    log = server.log()
    assert "Traceback" not in log, log[log.index("Traceback") - 2000 :][:4000]
    assert '"level": "error"' not in log


CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
GUARDED = ("/api/me/", "/api/conversations/", "/api/notifications/", "/api/auth/sessions/", "/api/ws-ticket/")


def _try(operation: Any, headers: dict[str, str], *, is_refused: bool) -> None:
    """Send the operation whatever its description allows."""

    @seed(1)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def answers(case: Any) -> None:
        response = case.call(headers=headers)
        case.validate_response(response, checks=CHECKS)
        assert not is_refused or response.status_code in (401, 404, 405)

    answers()
