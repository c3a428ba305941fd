"""Fixtures for tests in a real browser: a real server, the browser, and people with accounts."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.acceptance.people import People
from tests.conftest import Backends
from tests.programs import chromium
from tests.servers import ServerProcess

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


expect.set_options(timeout=15_000)  # a busy machine; Playwright's own is 5 s


@pytest.fixture(scope="session")
def people(server: ServerProcess) -> People:
    """Ana, Bruno and the others on the server under test."""
    return People(server)


# One browser per module and server. Not longer: while Playwright's synchronous interface is up, its event
# loop counts as running in this thread, and asynchronous tests of other modules could not start theirs.
@pytest.fixture(scope="module")
def browser(server: ServerProcess) -> Iterator[Browser]:
    """Headless Chromium in which the guide's address, localhost:8000, leads to the server under test."""
    there = f"--host-resolver-rules=MAP localhost:8000 127.0.0.1:{server.port}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), headless=True, args=[*CHROMIUM_ARGUMENTS, there]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def crowd_server(
    request: pytest.FixtureRequest, new_backends: Callable[[], Backends]
) -> Iterator[ServerProcess]:
    """A server without limits, for two users who send as much as a crowd."""
    limits = dict.fromkeys(("LIMIT_SOCKETS_PER_USER", "LIMIT_SENDS", "LIMIT_FRAMES"), "off")
    with ServerProcess(request.param, **vars(new_backends()), env=limits) as server:
        yield server


@pytest.fixture(scope="module")
def crowd_people(crowd_server: ServerProcess) -> People:
    return People(crowd_server)
