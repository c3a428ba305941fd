"""The demo page in a real browser, on both servers: the first page that a newcomer sees."""

from collections.abc import Callable, Iterator

import pytest
from django.test import RequestFactory
from playwright.sync_api import Browser, ConsoleMessage, FrameLocator, Page, expect

from demo import views
from tests.acceptance import guide
from tests.acceptance.copied_page import ORIGIN
from tests.servers import on_any_server

# Slow tests run on one stack each: pages on PostgreSQL and Redis, terminals on SQLite and memory.
pytestmark = [pytest.mark.acceptance, pytest.mark.stack("full")]

WIDE = {"width": 1280, "height": 800}
PHONE = {"width": 320, "height": 640}

#: A script that says in the console what the page's security policy forbade; Chromium also does, in its own
#: words.
REPORT_VIOLATIONS = """addEventListener('securitypolicyviolation',
    event => console.error('forbidden:', event.violatedDirective, event.blockedURI))"""


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens the demo page; any complaint in its console fails the test."""
    contexts, complaints = [], []

    def listen(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            complaints.append(message.text)

    def open_page(**options: object) -> Page:
        context = browser.new_context(**{"viewport": WIDE, "locale": "en-GB"} | options)  # type: ignore[arg-type]  # Playwright names each option
        contexts.append(context)
        context.add_init_script(REPORT_VIOLATIONS)
        context.on("console", listen)
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        page = context.new_page()
        page.goto(f"{ORIGIN}/")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def half(page: Page, name: str) -> FrameLocator:
    """The half of the page that belongs to one person."""
    return page.frame_locator(f"iframe[title^='{name}'], iframe[title$='{name}']")


def sign_in(page: Page, name: str) -> FrameLocator:
    """Sign in with one click."""
    person = half(page, name)
    person.locator("#sign-in button").click()
    expect(person.locator("#message-input")).to_be_enabled()
    return person


def say(person: FrameLocator, text: str) -> None:
    person.locator("#message-input").fill(text)
    person.locator("#message-input").press("Enter")


@on_any_server
def test_ana_and_bruno_talk_after_one_click_each(opened: Callable[..., Page]):
    page = opened()
    ana, bruno = sign_in(page, "Ana"), sign_in(page, "Bruno")
    log = bruno.get_by_role("log")
    expect(log.get_by_text("Hi Bruno!")).to_have_count(1)  # the history, as seeded

    ana.locator("#message-input").press_sequentially("Salut")
    expect(bruno.locator("#typing")).to_have_text("ana is typing")
    expect(ana.locator("#typing")).to_be_empty()
    ana.locator("#message-input").press("Enter")

    expect(log.get_by_text("Salut", exact=True)).to_have_count(1)
    expect(ana.get_by_role("log").get_by_text("Salut", exact=True)).to_have_count(1)
    expect(bruno.locator("#typing")).to_be_empty(timeout=5_000)  # after 6 s it would end by itself
    expect(bruno.locator("#notices")).to_contain_text("New message")
    expect(bruno.locator("#bell-count")).to_have_text("1")
    expect(ana.locator("#bell-count")).to_have_text("0")

    say(bruno, "<img src=x onerror=alert(1)> مرحبا")
    expect(ana.get_by_role("log").get_by_text("<img src=x onerror=alert(1)> مرحبا")).to_have_count(1)
    expect(ana.get_by_role("log").locator("img")).to_have_count(0)
    expect(ana.locator("#bell-count")).to_have_text("1")

    ana.get_by_role("button", name="Sign out").click()
    expect(ana.get_by_role("button", name="Sign in as Ana")).to_be_visible()
    say(bruno, "Still there?")
    expect(log.get_by_text("Still there?")).to_have_count(1)


def test_show_the_code_shows_what_runs(opened: Callable[..., Page]):
    page = opened()
    code = page.get_by_role("region", name="Ana").locator("details pre")
    expect(code.first).to_be_hidden()

    page.get_by_role("region", name="Ana").get_by_text("Show the code").click()

    expect(code.first).to_be_visible()
    shown = [block.text_content() for block in code.all()]
    assert guide.with_token(guide.CHAT) in shown
    assert guide.with_token(guide.TYPING) in shown
    assert guide.with_token(guide.NOTIFICATIONS) in shown


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_needs_sideways_scrolling_on_a_phone(opened: Callable[..., Page], theme: str):
    page = opened(viewport=PHONE, color_scheme=theme, locale="fr-FR")
    half(page, "Ana").locator("#sign-in button").wait_for()

    for frame in page.frames:
        width, room = frame.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width <= room
    upper, lower = (page.locator("iframe").nth(number).bounding_box() for number in (0, 1))
    assert upper is not None
    assert lower is not None
    assert upper["y"] + upper["height"] < lower["y"]  # one below the other
    expect(page.locator("html")).to_have_attribute("lang", "fr")
    dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(21, 23, 27)"
    assert dark is (theme == "dark")


def test_over_https_the_snippets_run_unchanged(browser: Browser):
    """The snippets say ws://. The page's policy lets the browser use wss:// instead of refusing mixed
    content."""
    request = RequestFactory().get("/demo/ana/", secure=True)
    policy = views.person(request, "ana")["Content-Security-Policy"].replace(
        "script-src", "script-src 'unsafe-inline'"
    )
    html = f"<script>{guide.CHAT}</script>"
    context = browser.new_context()
    headers = {"Content-Security-Policy": policy}
    context.route(
        "https://testserver/**",
        lambda route: route.fulfill(body=html, headers=headers, content_type="text/html"),
    )
    page = context.new_page()
    with page.expect_websocket() as opened_socket:
        page.goto("https://testserver/")

    assert opened_socket.value.url == "wss://testserver/ws/chat/123/"
    context.close()
