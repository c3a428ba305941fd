"""The system check of kinds: no event declared after a kind may have the kind's name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, register

from notifications import kinds
from realtime import TAG


@register(TAG)
def check_kinds(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """No kind has the type of another event: on the socket, a type has one meaning."""
    taken = kinds.event_types()
    return [
        Error(f"The kind {kind.name!r} has the type of another event.", id="relais.E020")
        for kind in kinds.registered()
        if kind.name in taken
    ]
