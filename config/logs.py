"""What is logged, and how: JSON in production, lines to read in development, and no secret in either.

Every logger of the process ends in one handler: ours, Django's, those of both servers. Socket and
user ids come from context variables, which `JsonSocket` and django-structlog bind.
"""

import logging
import os
import re
import sys
from typing import Any

import structlog

_HIDDEN = "[redacted]"
#: Characters of one field of a line: a client may call itself a browser with 32,000.
MAX_FIELD = 2_000

#: Names whose values are secrets, in a query string or in JSON.
_NAMES = "access_token|refresh_token|token|ticket|apikey|api_key|password|secret|refresh"
_EACH_NAME = tuple(_NAMES.split("|"))


def _encoded(text: str) -> str:
    """A pattern of the same, with any of its characters percent-encoded, however often."""
    return "".join(
        char if char == "|" else f"(?:{char}|%(?:25)*(?:{ord(char):02x}|{ord(char.upper()):02x}))"
        for char in text
    )


#: ?%74oken=…, and where one address is the parameter of another. Tried where there is a percent sign at all.
_ENCODED = re.compile(
    rf"({_encoded(_NAMES)})((?:[+\[\]]|%(?:25)*(?:20|2b|5b|5d))*{_encoded('=')})(?:(?!{_encoded('&')})[^&\s\"'<>\\;,)])+",
    re.IGNORECASE,
)
#: Each takes a time that grows with the text and not with its square: anybody may send 32 KB of anything.
#: Before it, what a text must hold for it, in lower case: nearly all lines hold none, and to look for a word
#: takes a hundredth of the time.
_SECRETS: tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...] = (
    # ?token=…
    (
        _EACH_NAME,
        re.compile(rf"({_NAMES})([+\[\]]*=)[^&\s\"'<>\\;,)]+", re.IGNORECASE),
        rf"\1\2{_HIDDEN}",
    ),
    # Authorization: Bearer …, and the subprotocol bearer.…
    (
        ("bearer",),
        re.compile(r"\b(bearer)(\s+|\.|%20)[\w~+/=.-]+", re.IGNORECASE),
        rf"\1\2{_HIDDEN}",
    ),
    # {"refresh": "…"}, as JSON, as Python shows it, or as JSON inside of JSON.
    (
        _EACH_NAME,
        re.compile(
            rf"""(["'](?:{_NAMES})\\*["']\s*:\s*b?\\*["'])[^"'\\]+""",
            re.IGNORECASE,
        ),
        rf"\1{_HIDDEN}",
    ),
    # A JSON Web Token anywhere else; all of ours begin with the same letters, which are '{"' in base64. Its
    # head is short, and where none of them ends no search goes on to the end of the text.
    (("eyj",), re.compile(r"\beyJ[\w-]{6,1000}\.[\w-]+(?:\.[\w-]*)?"), _HIDDEN),
    # postgres://user:password@host
    (("://",), re.compile(r"(://[^/\s:@\"']*:)[^/\s@\"']+(?=@)"), rf"\1{_HIDDEN}"),
)


def redact(text: str) -> str:
    """The text without the secrets in it."""
    if "%" in text:  # before the plain ones, which would stop at what follows an encoded one
        text = _ENCODED.sub(rf"\1\2{_HIDDEN}", text)
    # Beyond ASCII there are letters that are these when case is ignored, and not in lower case: ſ is an s.
    lower = text.lower() if text.isascii() else None
    for words, pattern, replacement in _SECRETS:
        if lower is None or any(word in lower for word in words):
            text = pattern.sub(replacement, text)
    return text


class RedactingFormatter(structlog.stdlib.ProcessorFormatter):
    """Formats a record and then takes the secrets out.

    Last, so that nothing escapes it: not the message, not its arguments, not a field that was
    bound, not the text of an exception.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One record as it will be written."""
        return redact(super().format(record))


def is_no_clients_fault(record: logging.LogRecord) -> bool:
    """False for a text frame that is no UTF-8: uvicorn shows a traceback for each that anybody sends."""
    return not (record.exc_info and record.exc_info[0] is UnicodeDecodeError)


def without_traceback_of_clients(record: logging.LogRecord) -> bool:
    """Tell in one line what Django tells with a traceback: a client sent what cannot be read."""
    if record.name.startswith("django.security"):
        record.exc_info = None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


def _before_rendering() -> list[Any]:
    """What every record goes through, whether it comes from structlog or from the standard library."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _name_worker,
    ]


def _name_worker(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Which of the processes says it: the number that the supervisor's lines call a worker by."""
    event.setdefault("worker", os.getpid())
    return event


def _shorten(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Both lines of a request would otherwise be as long as its head may be. What we say ourselves stays."""
    for name, value in event.items():
        if isinstance(value, str) and len(value) > MAX_FIELD and name not in ("event", "stack"):
            # Before it is cut: half a secret is not recognised.
            event[name] = f"{redact(value)[:MAX_FIELD]}…"
    return event


def _drop_uvicorn_colours(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """uvicorn says everything twice, once with terminal colours."""
    event.pop("color_message", None)
    return event


def _rendering(*, readable: bool) -> list[Any]:
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if readable:
        return [
            remove_meta,
            _shorten,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),  # in a file they are noise that no search finds its way through
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ]
    return [
        remove_meta,
        _shorten,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]


def configuration(*, readable: bool, level: str) -> dict[str, Any]:
    """Django's LOGGING; configures structlog on the way, so that both end in the same handler."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *_before_rendering(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    ours: dict[str, Any] = {"handlers": [], "propagate": True}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "relais": {
                "()": RedactingFormatter,
                "foreign_pre_chain": [
                    *_before_rendering(),
                    structlog.stdlib.ExtraAdder(),
                    _drop_uvicorn_colours,
                ],
                "processors": _rendering(readable=readable),
            }
        },
        "filters": {
            "faults": {"()": lambda: is_no_clients_fault},
            "unreadable": {"()": lambda: without_traceback_of_clients},
        },
        # Standard error: what a command prints on standard output (`manage.py token ana`) is for programs.
        "handlers": {
            "relais": {"class": "logging.StreamHandler", "formatter": "relais", "filters": ["unreadable"]}
        },
        "root": {"handlers": ["relais"], "level": level},
        # Loggers that bring handlers of their own, which would write the same line without our formatter.
        "loggers": {
            "django": {**ours, "level": level},
            "django.server": {**ours, "level": level},
            "django.channels.server": {**ours, "level": level},
            "uvicorn": {**ours, "level": level},
            # Not DEBUG: every header of a handshake and every frame, as they came.
            "uvicorn.error": {
                **ours,
                "level": "INFO" if level == "DEBUG" else level,
                "filters": ["faults"],
            },
            "uvicorn.access": {**ours, "level": level},
            # Its attempts to reconnect, several a second: that the database is away is said once, by us.
            "psycopg.pool": {**ours, "level": "ERROR"},
            "daphne": {**ours, "level": level},
            "twisted": {**ours, "level": level},
            # django-structlog says the same of each request, once and with its ids.
            "django.request": {**ours, "level": "ERROR"},
            # A traceback a second while Redis is away; the hub says "away" and "back", once each.
            "channels_redis.pubsub": {**ours, "level": "CRITICAL"},
            # Each line of them is one frame, one query or one turn of a loop; never wanted, even with DEBUG.
            "asyncio": {**ours, "level": "WARNING"},
            # INFO tells of an extra for HTTP/2 that is missing. Where it listens, `realtime/servers` says.
            "daphne.server": {**ours, "level": level if level in ("ERROR", "CRITICAL") else "WARNING"},
            "daphne.ws_protocol": {**ours, "level": "INFO"},
            "daphne.http_protocol": {**ours, "level": "INFO"},
            "django.db.backends": {**ours, "level": "INFO"},
        },
    }
