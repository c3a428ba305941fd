"""The closed lists of the contract: error codes and close codes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps

from realtime import CloseCode, RealtimeError


def errors() -> dict[str, type[RealtimeError]]:
    """The errors of the core and of the installed apps, by code, without those of foreign dialects."""
    ours = {config.name for config in apps.get_app_configs()}
    found: dict[str, type[RealtimeError]] = {}
    for kind in _kinds(RealtimeError):
        if kind.__module__.partition(".")[0] in ours and not kind.is_foreign:
            found.setdefault(kind.code, kind)
    return dict(sorted(found.items()))


def _kinds(kind: type[RealtimeError]) -> Iterator[type[RealtimeError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _kinds(each)


def error_table() -> dict[str, dict[str, Any]]:
    """Each error code with its meaning, whether a retry may help, and the close code that it leads to."""
    return {
        code: {
            "description": kind().message,
            "retryable": kind.retryable,
            "close_code": int(kind.close_with),
        }
        for code, kind in errors().items()
    }


def close_table() -> dict[str, dict[str, Any]]:
    """Each close code with its name, and the error codes that may precede it."""
    table = error_table()
    return {
        str(int(code)): {
            "name": code.name.lower(),
            "errors": [name for name, error in table.items() if error["close_code"] == code],
        }
        for code in CloseCode
    }
