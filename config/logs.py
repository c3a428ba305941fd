"""The configuration of logging: JSON in production, readable lines in development, secrets in neither.

All loggers of the process, of this project, Django and both servers, end in one handler. Socket and user ids
come from context variables, which the sockets and django-structlog bind.
"""

import logging
import os
import sys
from typing import Any

import structlog

from realtime.process.redaction import RedactingFormatter, redact

#: Characters of one field of a line; a client may send 32,000 as its User-Agent.
MAX_FIELD = 2_000


def is_not_a_clients_fault(record: logging.LogRecord) -> bool:
    """Drop uvicorn's traceback for a text frame that is not UTF-8: any client can send one."""
    return not (record.exc_info and record.exc_info[0] is UnicodeDecodeError)


def drop_clients_traceback(record: logging.LogRecord) -> bool:
    """Log one line instead of Django's traceback when a client sends something unreadable."""
    if record.name.startswith("django.security"):
        record.exc_info = None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


def _before_rendering() -> list[Any]:
    """The processors of every record, whether it comes from structlog or from the standard library."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _name_worker,
    ]


def _name_worker(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Add the process id, by which the supervisor's lines name the worker too."""
    event.setdefault("worker", os.getpid())
    return event


def _shorten(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Cut long fields, or a request's lines could be as long as its head; the message itself stays whole."""
    for name, value in event.items():
        if isinstance(value, str) and len(value) > MAX_FIELD and name not in ("event", "stack"):
            # Redact before cutting: half a secret is not recognised.
            event[name] = f"{redact(value)[:MAX_FIELD]}…"
    return event


def _drop_uvicorn_colours(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Drop uvicorn's second copy of each message, which has terminal colours."""
    event.pop("color_message", None)
    return event


def _rendering(*, readable: bool) -> list[Any]:
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if readable:
        return [
            remove_meta,
            _shorten,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),  # in a file, colours get in the way of every search
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
    """Django's LOGGING; also configures structlog, so that both end in the same handler."""
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
            "faults": {"()": lambda: is_not_a_clients_fault},
            "unreadable": {"()": lambda: drop_clients_traceback},
        },
        # To standard error: programs read a command's standard output (`manage.py token ana`).
        "handlers": {
            "relais": {"class": "logging.StreamHandler", "formatter": "relais", "filters": ["unreadable"]}
        },
        "root": {"handlers": ["relais"], "level": level},
        # These loggers have handlers of their own, which would write each line again, without this formatter.
        "loggers": {
            "django": {**ours, "level": level},
            "django.server": {**ours, "level": level},
            "django.channels.server": {**ours, "level": level},
            "uvicorn": {**ours, "level": level},
            # Never DEBUG, which logs each handshake's headers and each frame in full.
            "uvicorn.error": {
                **ours,
                "level": "INFO" if level == "DEBUG" else level,
                "filters": ["faults"],
            },
            "uvicorn.access": {**ours, "level": level},
            # The pool logs several attempts to reconnect a second; the outage itself is logged once.
            "psycopg.pool": {**ours, "level": "ERROR"},
            "daphne": {**ours, "level": level},
            "twisted": {**ours, "level": level},
            # django-structlog logs each request too, once and with its ids.
            "django.request": {**ours, "level": "ERROR"},
            # Logs a traceback a second while Redis is away; the start and end of that outage are logged once
            # each.
            "channels_redis.pubsub": {**ours, "level": "CRITICAL"},
            # These log a line per frame, query or turn of the loop, which nobody wants, even with DEBUG.
            "asyncio": {**ours, "level": "WARNING"},
            # At INFO, Daphne names a missing extra for HTTP/2. `realtime/servers` logs where it listens.
            "daphne.server": {**ours, "level": level if level in ("ERROR", "CRITICAL") else "WARNING"},
            "daphne.ws_protocol": {**ours, "level": "INFO"},
            "daphne.http_protocol": {**ours, "level": "INFO"},
            "django.db.backends": {**ours, "level": "INFO"},
        },
    }
