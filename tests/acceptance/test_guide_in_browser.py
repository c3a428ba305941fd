"""The guide's JavaScript, character by character, in a real browser against every kind of server."""

import contextlib
import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser
from playwright.sync_api import TimeoutError as NotSeenError

from tests.acceptance import guide
from tests.acceptance.copied_page import CHAT, CHAT_AND_TYPING, NOTIFICATIONS, TYPING, CopiedPage
from tests.acceptance.people import People
from tests.servers import on_any_server

# Slow tests run on one stack each: pages on PostgreSQL and Redis, terminals on SQLite and memory.
pytestmark = [pytest.mark.acceptance, pytest.mark.stack("full"), on_any_server]

Open = Callable[..., CopiedPage]


@pytest.fixture
def opened(browser: Browser, people: People) -> Iterator[Open]:
    """Opens copied pages, each in a browser of its own, signed in as a user or as nobody."""
    with contextlib.ExitStack() as pages:

        def open_page(username: str, scripts: str) -> CopiedPage:
            token = people.token(username) if username else ""
            return pages.enter_context(contextlib.closing(CopiedPage(browser, scripts, token=token)))

        yield open_page


# ── chat ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_ana_and_bruno_talk_and_see_every_message_once(opened: Open):
    ana, bruno = opened("ana", CHAT), opened("bruno", CHAT)
    ana.arrive()
    bruno.arrive()

    ana.send("Bonjour Bruno !")
    bruno.drawn_until("Bonjour Bruno !")
    bruno.send("Salut Ana, مرحبا 👋")
    ana.drawn_until("Salut Ana, مرحبا 👋")
    ana.send("À demain")

    expected = ["Bonjour Bruno !", "Salut Ana, مرحبا 👋", "À demain"]
    assert ana.drawn_until("À demain") == expected
    assert bruno.drawn_until("À demain") == expected
    assert "Connected to chat" in ana.console


def test_message_has_the_fields_of_the_guide(opened: Open):
    ana, bruno = opened("ana", CHAT), opened("bruno", CHAT)
    bruno.arrive()

    ana.send("Bonjour!")
    bruno.drawn_until("Bonjour!")

    message = bruno.page.evaluate("drawn.at(-1)")
    assert message["type"] == "message"
    assert message["sender_username"] == "ana"
    assert message["content"] == "Bonjour!"
    assert message["is_read"] is False
    assert isinstance(message["message_id"], int)
    assert isinstance(message["sender_id"], int)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", message["created_at"])
    assert {frame["type"] for frame in bruno.received("/ws/chat/123/")} == {"message"}


# ── typing ───────────────────────────────────────────────────────────────────────────────────────────────


def test_chat_and_typing_run_in_one_page_and_a_message_ends_the_typing(opened: Open):
    ana, bruno = opened("ana", CHAT_AND_TYPING), opened("bruno", CHAT_AND_TYPING)
    ana.arrive()
    bruno.arrive()
    type_until_seen(ana, bruno)

    ana.send("typed")

    assert bruno.drawn_until("typed")[-1] == "typed"
    bruno.wait_for("typists.size === 0", seconds=3)
    assert {frame["is_typing"] for frame in ana.sent("/ws/typing/123/")} == {True}


def test_typing_shows_until_blur_and_never_to_the_typist(opened: Open):
    ana, bruno = opened("ana", TYPING), opened("bruno", TYPING)
    type_until_seen(ana, bruno)

    ana.page.get_by_role("button").click()

    bruno.wait_for("typists.size === 0", seconds=3)
    ana.until(lambda: ana.sent("/ws/typing/123/")[-1] == {"is_typing": False})
    assert ana.received("/ws/typing/123/") == []


@pytest.mark.slow
def test_typing_ends_by_itself_when_nobody_says_so(opened: Open):
    ana, bruno = opened("ana", TYPING), opened("bruno", TYPING)
    type_until_seen(ana, bruno)

    bruno.wait_for("typists.size === 0")

    assert {frame["is_typing"] for frame in ana.sent("/ws/typing/123/")} == {True}


def type_until_seen(ana: CopiedPage, bruno: CopiedPage) -> None:
    """Let Ana type letters until Bruno's page shows it; the first ones may come before his socket listens."""
    ana.wait_for("typeof typingSocket === 'undefined' || typingSocket.readyState === WebSocket.OPEN")
    for _attempt in range(10):
        ana.page.locator("#message-input").press("a")
        with contextlib.suppress(NotSeenError):
            bruno.wait_for("typists.size > 0", seconds=1)
            break
    assert bruno.page.evaluate("[...typists]") == ["ana"]


# ── notifications ────────────────────────────────────────────────────────────────────────────────────────


def test_notifications_page_shows_each_message_of_others_and_nothing_else(opened: Open, people: People):
    ana, bruno = opened("ana", NOTIFICATIONS), opened("bruno", NOTIFICATIONS)
    elsewhere = people.new_conversation("ana", "bruno")
    # A page listens once it has been told of a message in another conversation.
    for page, other in ((ana, "bruno"), (bruno, "ana")):
        people.say_until(page.notices, other, elsewhere)

    for text in ("un", "deux", "trois"):
        people.say("ana", 123, text)
    bruno.until(lambda: len(bruno.notices(123)) >= 3)
    heard = len(bruno.notices(elsewhere))
    people.say("ana", elsewhere, "That was all.")
    bruno.until(lambda: len(bruno.notices(elsewhere)) > heard)

    assert len(bruno.notices(123)) == 3
    assert ana.notices(123) == []
    for page, other in ((ana, "bruno"), (bruno, "ana")):
        frames = page.notices()
        assert {frame["type"] for frame in frames} == {"message_received"}
        assert {frame["title"] for frame in frames} <= {"New message", "Nouveau message"}
        assert all(frame["message"].startswith(f"{other} ") for frame in frames)
        assert page.page.evaluate("shown") == [[frame["title"], frame["message"]] for frame in frames]


# ── refused ──────────────────────────────────────────────────────────────────────────────────────────────

#: Attached in the same task as the snippet, so before anything can arrive from the network.
WATCH = """<script>
    {name}.addEventListener('close', event => closed.push([event.code, event.wasClean]));
</script>"""


@pytest.mark.parametrize(
    ("snippet", "name"),
    [
        (guide.CHAT, "chatSocket"),
        (guide.TYPING, "typingSocket"),
        (guide.NOTIFICATIONS, "notificationSocket"),
    ],
    ids=["chat", "typing", "notifications"],
)
def test_snippet_without_token_is_told_4401(opened: Open, snippet: str, name: str):
    page = opened("", f"<script>{snippet}</script>{WATCH.format(name=name)}")

    page.wait_for("closed.length === 1")

    assert page.page.evaluate("closed") == [[4401, True]], page.console
    assert page.page.evaluate("[drawn.length, shown.length, typists.size]") == [0, 0, 0]
    if name == "chatSocket":
        assert "Chat connection closed" in page.console
        [why] = page.received("/ws/chat/123/")
        assert (why["type"], why["code"]) == ("error", "unauthenticated")


def test_page_that_is_still_busy_hears_why_too(opened: Open):
    busy = "<script>for (const end = Date.now() + 2000; Date.now() < end;);</script>"

    page = opened("", f"<script>{guide.CHAT}</script>{WATCH.format(name='chatSocket')}{busy}")

    page.wait_for("closed.length === 1")
    assert page.page.evaluate("closed") == [[4401, True]], page.console


def test_conversation_of_others_and_unknown_one_are_told_4404_alike(opened: Open, people: People):
    foreign = people.new_conversation("reader", "bruno")
    told = []

    for number in (foreign, 999_999_999):
        scripts = CHAT.replace("conversationId = 123", f"conversationId = {number}")
        page = opened("ana", scripts + WATCH.format(name="chatSocket"))
        people.say("reader", foreign, "not for Ana")
        page.wait_for("closed.length === 1")
        assert page.page.evaluate("closed") == [[4404, True]], page.console
        assert page.page.evaluate("drawn") == []
        told.append(page.received(f"/ws/chat/{number}/"))

    assert told[0] == told[1]
