"""The demo's users as programs see them: their tokens, and their requests over REST."""

import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from tests.servers import ServerProcess

#: The time that a page has to open its socket, on a busy machine.
PATIENCE_SECONDS = 20.0
PASSWORDS = {"reader": "reader-password-1"}


class People:
    """The users of one running server. Each signs in once, because logins are limited."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self._tokens: dict[str, str] = {}

    def token(self, username: str) -> str:
        """An access token of a demo user."""
        if username not in self._tokens:
            password = PASSWORDS.get(username, "demo-password")
            answer = self.ask("/api/token/", {"username": username, "password": password})
            self._tokens[username] = answer["access"]
        return self._tokens[username]

    def id(self, username: str) -> int:
        """The id of a demo user."""
        return int(self.ask("/api/me/", None, self.token(username), method="GET")["id"])

    def newcomer(self, username: str) -> int:
        """Register a user; their id."""
        PASSWORDS[username] = "newcomers-password-1"
        self.ask("/api/auth/register/", {"username": username, "password": PASSWORDS[username]})
        return self.id(username)

    def new_conversation(self, creator: str, *others: str) -> int:
        """Start a group."""
        body = {"participants": others, "title": "Elsewhere"}
        number: int = self.ask("/api/conversations/", body, self.token(creator))["id"]
        return number

    def say(self, username: str, conversation_id: int, text: str) -> None:
        """Send a message over REST."""
        url = f"/api/conversations/{conversation_id}/messages/"
        self.ask(url, {"message": text}, self.token(username))

    def share_typing(self, username: str, *, shares: bool) -> None:
        """Turn the switch that says whether others are told that they type."""
        self.ask("/api/me/", {"shares_typing": shares}, self.token(username), method="PATCH")

    def sign_out(self, username: str) -> None:
        """End the session of the token that was handed out."""
        self.ask("/api/auth/logout/", {}, self._tokens.pop(username))

    def say_until(self, heard: Callable[[], object], username: str, conversation_id: int) -> None:
        """Send messages until one of them has been received."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            self.say(username, conversation_id, "Can you hear me?")
            time.sleep(0.2)
            if heard():
                return
        raise TimeoutError(f"nobody heard {username}")

    def ask(
        self, path: str, body: dict[str, Any] | None, token: str = "", method: str = "POST"
    ) -> dict[str, Any]:
        """Send a request and return the answer; raise an error where the server refuses."""
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.server.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            content = response.read()
        answer: dict[str, Any] = json.loads(content) if content else {}
        return answer
