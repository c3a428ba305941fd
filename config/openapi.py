"""The OpenAPI description of the API as a whole; the `operations.py` of each app describes its operations."""

from typing import Any

_DESCRIPTION = """\
Accounts, conversations, messages, members and notifications, over HTTP. What happens is told over
WebSockets, which show the same ids, the same `seq` and the same codes: [their frames](/api/asyncapi/).

**Requests** are JSON. Sign in with `POST /api/token/`, and send what it answers as `Authorization: Bearer
<access>`. Paths end with a slash. Fields and parameters that an operation does not know are ignored.

**Answers** may gain fields, and never lose or retype one. Ids are integers below 2⁵³, timestamps RFC 3339
in UTC. A `seq` is the place of a message or an event in its conversation; a `position`, kept and given
back, says where a socket goes on.

**Lists** answer a page of `results`, newest first, and `next`, the address of the page after it; `has_more`
says whether there is one.

**Errors** are problem documents (RFC 9457) with a stable `code`. Besides those that an operation names, any
may answer 405, 406, 408, 413, 415, 500 or 503. `Retry-After` says when to come back where that helps.
"""

SETTINGS: dict[str, Any] = {
    "TITLE": "Relais",
    "DESCRIPTION": _DESCRIPTION,
    "VERSION": "1",
    "LICENSE": {"name": "MIT", "identifier": "MIT"},
    "OAS_VERSION": "3.1.0",
    "SERVERS": [{"url": "/", "description": "The server that answered this document."}],
    "TAGS": [
        {
            "name": "accounts",
            "description": "Who is asking: registration, tokens, sessions, the account.",
        },
        {
            "name": "conversations",
            "description": "Between two users or in a group, and how far each has read.",
        },
        {"name": "messages", "description": "What is said in a conversation."},
        {"name": "members", "description": "Who takes part in a conversation, and as what."},
        {"name": "notifications", "description": "The inbox of a user, and how other services fill it."},
    ],
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": "/api/",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "realtime.http.openapi.share_problems",
    ],
}
