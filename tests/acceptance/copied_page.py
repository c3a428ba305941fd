"""A page copied from the guide: its snippets, and the functions that the reader has to write."""

import json
import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Browser, Page, WebSocket

from contract.testing import Witness
from tests.acceptance import guide

#: The guide's own address; the fixture `browser` leads from there to the server under test.
ORIGIN = "http://localhost:8000"
PATIENCE_SECONDS = 10.0

FIELDS = '<input id="message-input"><button>elsewhere</button>'
#: The functions that the reader writes; here they only remember their arguments.
READERS_PART = """<script>
    const drawn = [], shown = [], typists = new Set(), closed = [];
    function addMessage(data) { drawn.push(data); }
    function showNotification(title, message) { shown.push([title, message]); }
    function showTypingIndicator(username) { typists.add(username); }
    function hideTypingIndicator(username) { typists.delete(username); }
</script>"""

CHAT = f"<script>{guide.with_authentication(guide.CHAT)}</script>"
TYPING = f"<script>{guide.TOKEN_LINE}{guide.with_token(guide.TYPING)}</script>"
NOTIFICATIONS = f"<script>{guide.TOKEN_LINE}{guide.with_token(guide.NOTIFICATIONS)}</script>"
#: Chat and typing both declare `const conversationId`, which a page cannot do twice at its top level. Each
#: module has a level of its own.
CHAT_AND_TYPING = CHAT + TYPING.replace("<script>", '<script type="module">')

#: The text that a page sends to hear itself.
ARRIVED = "I am here."


class CopiedPage:
    """A browser of one person, with a copied page in it."""

    def __init__(self, browser: Browser, scripts: str, *, token: str = "") -> None:
        self.console: list[str] = []
        self.errors: list[str] = []
        self._frames: list[tuple[str, str, dict[str, Any]]] = []
        self.context = browser.new_context()
        if token:
            # The token that the reader's own sign-in form would have stored.
            self.context.add_init_script(f"localStorage.setItem('access_token', {json.dumps(token)})")
        self.page: Page = self.context.new_page()
        self.page.on("console", lambda message: self.console.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("websocket", self._record)
        # The page is written into one that the server sent. A page made up by the test has no address, and
        # Chromium lets only pages from this machine talk to this machine.
        self.page.goto(f"{ORIGIN}/health/live")
        self.page.set_content(f"<!doctype html>{FIELDS}{READERS_PART}{scripts}")

    def close(self) -> None:
        """Close the page; fail the test if one of its snippets threw."""
        self.context.close()
        assert self.errors == []

    # The person's actions.

    def send(self, content: str) -> None:
        """Call the guide's `sendMessage` as soon as its socket is open."""
        self.wait_for("chatSocket.readyState === WebSocket.OPEN")
        self.page.evaluate("content => sendMessage(content)", content)

    def arrive(self) -> None:
        """Return once the server listens to the socket: the socket opens a little before that."""
        self.send(ARRIVED)
        self.wait_for("text => drawn.some(data => data.content === text)", ARRIVED)

    # What the page was told, and what it drew.

    def sent(self, path: str) -> list[dict[str, Any]]:
        """The frames that the page sent on one of its sockets."""
        return [frame for way, where, frame in self._frames if (way, where) == ("→", path)]

    def received(self, path: str) -> list[dict[str, Any]]:
        """Every frame that the page received on one of its sockets."""
        return [frame for way, where, frame in self._frames if (way, where) == ("←", path)]

    def notices(self, conversation_id: int | None = None) -> list[dict[str, Any]]:
        """The frames that the notifications socket received, all of them or those about one conversation."""
        self.page.wait_for_timeout(1)  # lets Playwright deliver the frames that the browser has seen
        frames = self.received("/ws/notifications/")
        return [frame for frame in frames if conversation_id in (None, frame["data"]["conversation_id"])]

    def drawn_until(self, last: str) -> list[str]:
        """The texts that were given to `addMessage`, without arrivals, once `last` is among them."""
        self.wait_for("last => drawn.some(data => data.content === last)", last)
        texts = [message["content"] for message in self.page.evaluate("drawn")]
        return [text for text in texts if text != ARRIVED]

    def wait_for(self, condition: str, argument: object = None, *, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until an expression holds in the page."""
        self.page.wait_for_function(condition, arg=argument, timeout=seconds * 1000)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition on the recorded frames and calls holds."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {PATIENCE_SECONDS:g} s; the sockets carried {self._frames}")
            self.page.wait_for_timeout(20)

    def _record(self, socket: WebSocket) -> None:
        path = socket.url.partition("?")[0].removeprefix(ORIGIN.replace("http", "ws"))
        witness = Witness(path)

        def sent(text: str | bytes) -> None:
            witness.said(text)
            self._frames.append(("→", path, json.loads(text)))

        def received(text: str | bytes) -> None:
            witness.told(text)
            self._frames.append(("←", path, json.loads(text)))

        socket.on("framesent", sent)
        socket.on("framereceived", received)
