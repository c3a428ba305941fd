"""/api/docs/ works in a real browser, and loads only our own files."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from tests.servers import ServerProcess


@pytest.mark.acceptance
def test_page_shows_the_operations_and_breaks_no_policy(browser: Browser, server: ServerProcess):
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(f"{server.url}/api/docs/")
    page.get_by_text("Sign in with a username or an e-mail").wait_for(timeout=60_000)

    assert complaints == []
