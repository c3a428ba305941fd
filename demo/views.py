"""The demo's two pages: the frame around both people, and the page of one of them."""

import sys
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_safe

from demo.people import CONVERSATION_ID, TALKING

STATIC = Path(__file__).parent / "static" / "demo"


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """The page of the demo: Ana and Bruno side by side, each in a frame.

    The frames are what lets the guide's code run twice in one window: its `chatSocket` and its
    `message-input` exist once per page.
    """
    return _page(
        request,
        "demo/index.html",
        framed_by="'none'",
        people=TALKING.values(),
        snippets=_snippets(),
        conversation_id=CONVERSATION_ID,
        websocket_url=f"{'wss' if request.is_secure() else 'ws'}://{request.get_host()}",
        server=_server(),
        database=connection.display_name,
        layer="Redis" if "redis" in settings.CHANNEL_LAYERS["default"]["BACKEND"] else "",
    )


@require_safe
@xframe_options_sameorigin
def person(request: HttpRequest, username: str) -> HttpResponse:
    """One person's chat, made of the guide's three snippets. It also works in a window of its own."""
    if username not in TALKING:
        raise Http404
    return _page(
        request,
        "demo/person.html",
        framed_by="'self'",
        person=TALKING[username],
        conversation_id=CONVERSATION_ID,
    )


def _page(request: HttpRequest, template: str, *, framed_by: str, **context: object) -> HttpResponse:
    response = render(request, template, context)
    policy = [*_content_security_policy(request), f"frame-ancestors {framed_by}"]
    response.headers["Content-Security-Policy"] = "; ".join(policy)
    return response


def _content_security_policy(request: HttpRequest) -> list[str]:
    """The policy of the pages: they load our own files, talk to this server, and do nothing else."""
    host = request.get_host()
    policy = [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        # Older Safari does not count its WebSockets as 'self'.
        f"connect-src 'self' ws://{host} wss://{host}",
        "frame-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    if request.is_secure():
        # The guide writes ws://, which browsers refuse on a page that came over HTTPS. With this they read
        # it as wss://, and the snippets run unchanged there too.
        policy.append("upgrade-insecure-requests")
    return policy


def _snippets() -> list[tuple[str, str]]:
    """The code that "Show the code" shows: the very files that the pages run."""
    titles = [
        (_("Chat"), "guide-chat.js"),
        (_("Typing"), "guide-typing.js"),
        (_("Notifications"), "guide-notifications.js"),
    ]
    return [(title, (STATIC / name).read_text(encoding="utf-8")) for title, name in titles]


def _server() -> str:
    # Neither server tells the application its name. Daphne's package is always loaded, for its `runserver`.
    return "uvicorn" if "uvicorn.server" in sys.modules else "Daphne"
