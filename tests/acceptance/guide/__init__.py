"""The guide's client code, copied character by character: what people paste into their pages.

The text is part of the public contract. It changes only if the guide does.
"""

from pathlib import Path

_HERE = Path(__file__).parent


def _read(name: str) -> str:
    return (_HERE / f"{name}.js").read_text(encoding="utf-8")


CHAT = _read("chat")
NOTIFICATIONS = _read("notifications")
TYPING = _read("typing")
#: The guide's section on authentication: where the token comes from and how it is passed. It names
#: localhost:8000.
AUTHENTICATION = _read("authentication")

#: The line of that section that finds the token.
TOKEN_LINE = AUTHENTICATION.splitlines(keepends=True)[0]


def with_token(snippet: str) -> str:
    """A snippet with the `?token=` of the section on authentication at the end of its URL."""
    end_of_url = "/`\n);"
    assert snippet.count(end_of_url) == 1
    return snippet.replace(end_of_url, "/?token=${token}`\n);")


def with_authentication(chat: str) -> str:
    """The chat snippet with its `new WebSocket(…)` replaced by the whole section on authentication."""
    start = chat.index("const chatSocket")
    end = chat.index(");\n", start) + len(");\n")
    return chat[:start] + AUTHENTICATION + chat[end:]
