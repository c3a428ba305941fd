"""No byte that one tenant is sent belongs to another: a part of `python -m tests.attacks.crawl`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.attacks import surface
from tests.attacks.crawl import ENVIRONMENT, MARK, Crawl, Findings
from tests.conftest import Backends
from tests.servers import ServerProcess


@pytest.fixture(params=["daphne", "uvicorn"])
def server(request: pytest.FixtureRequest, new_backends: Callable[[], Backends]) -> Iterator[ServerProcess]:
    with ServerProcess(request.param, **vars(new_backends()), env=ENVIRONMENT) as running:
        yield running


@pytest.mark.stack("full")
@pytest.mark.acceptance
@pytest.mark.timeout(600)
async def test_nothing_of_another_tenant_is_in_any_byte(server: ServerProcess):
    found = await Crawl(server, seed=1).run(requests=1_500)

    assert found.leaks == []
    assert found.requests > 1_400
    assert found.frames > 20
    assert found.sockets.keys() == surface.sockets().keys()
    assert {"HTTP 200", "HTTP 201", "HTTP 400", "HTTP 401", "HTTP 403", "HTTP 404"} <= found.answers.keys()


def test_mark_is_found_wherever_it_is():
    found = Findings()

    found.look(f"X-Title: {MARK}".encode(), "a header")
    found.look(f'{{"content":"{MARK} 7"}}', "a frame")
    found.look(b"nothing", "elsewhere")

    assert found.leaks == ["a header", "a frame"]
