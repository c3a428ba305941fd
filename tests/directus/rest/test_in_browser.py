"""The SDK in a real browser, in a page of another origin: cookies, preflights, and pages that may not."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.acceptance.conftest import CHROMIUM_ARGUMENTS
from tests.programs import NODE_PACKAGES, chromium
from tests.servers import ServerProcess

# Pages on one stack: what is tested here is between the browser and the HTTP of the servers.
pytestmark = [pytest.mark.acceptance, pytest.mark.stack("full")]

SDK = NODE_PACKAGES / "node_modules" / "@directus" / "sdk" / "dist"

CLIENT = """
const { createDirectus, authentication, rest, readMe, updateMe, withSearch, isDirectusError } =
  await import("/index.js");
const client = createDirectus(url)
  .with(authentication("session", { credentials: "include" }))
  .with(rest({ credentials: "include" }));
const refused = async (promise) => {
  try {
    return { resolved: await promise };
  } catch (error) {
    return isDirectusError(error) ? error.errors[0].extensions.code : error.name;
  }
};
const ana = { email: "ana@example.com", password: "demo-password" };
"""

SESSION = """
const found = {};
found.login = (await client.login(ana)).expires;
found.hidden = document.cookie;
found.email = (await client.request(readMe({ fields: ["email"] }))).email;
await client.refresh();
found.changed = await client.request(updateMe({ last_name: "Page" }, { fields: ["last_name"] }));
found.search = await refused(client.request(
  withSearch(() => ({ path: "/items/nowhere/7/8", method: "GET", params: { limit: 1 } }))));
await client.logout();
found.after = await refused(client.request(readMe()));
return found;
"""

ELSEWHERE = """
return {
  login: await refused(client.login(ana)),
  read: await refused(client.request(readMe())),
  write: await refused(client.request(updateMe({ last_name: "Foreign" }))),
};
"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves the modules of the SDK, and an empty page at `/page`."""

    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".js": "text/javascript"}

    def do_GET(self) -> None:
        if self.path != "/page":
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>A page</title>")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def pages() -> Iterator[int]:
    """A server of pages; its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(SDK))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def ports() -> Iterator[tuple[int, int]]:
    """Ports of two servers of pages: the first is allowed."""
    with pages() as allowed, pages() as other:
        yield allowed, other


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def server(
    request: pytest.FixtureRequest, new_backends: Callable[[], Any], ports: tuple[int, int]
) -> Iterator[ServerProcess]:
    environment = {"ALLOWED_ORIGINS": f"http://localhost:{ports[0]}", "SECURE_COOKIES": "off"}
    with ServerProcess(request.param, **vars(new_backends()), env=environment) as running:
        yield running


@pytest.fixture(scope="module")
def page(server: ServerProcess) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), headless=True, args=CHROMIUM_ARGUMENTS
        )
        yield browser.new_context().new_page()
        browser.close()


def run(page: Page, server: ServerProcess, port: int, script: str) -> dict[str, Any]:
    """What a script finds in a page from this port."""
    page.goto(f"http://localhost:{port}/page")
    found: dict[str, Any] = page.evaluate(
        f"async (url) => {{ {CLIENT} {script} }}", f"http://localhost:{server.port}"
    )
    return found


def test_page_of_an_allowed_origin_has_a_session(page: Page, server: ServerProcess, ports: tuple[int, int]):
    assert run(page, server, ports[0], SESSION) == {
        "login": 86_400_000,
        "hidden": "",
        "email": "ana@example.com",
        "changed": {"last_name": "Page"},
        "search": "ROUTE_NOT_FOUND",
        "after": "INVALID_CREDENTIALS",
    }


def test_page_of_another_origin_can_do_nothing_with_it(
    page: Page, server: ServerProcess, ports: tuple[int, int]
):
    """Both pages are of one site, so the browser sends the cookie along from either."""
    run(page, server, ports[0], "await client.login(ana); return {};")

    assert run(page, server, ports[1], ELSEWHERE) == dict.fromkeys(("login", "read", "write"), "TypeError")

    check = 'return await client.request(readMe({ fields: ["last_name"] }));'
    assert run(page, server, ports[0], check) != {"last_name": "Foreign"}
