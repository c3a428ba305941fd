"""System checks of the dialect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, register
from django.core.checks import Warning as Caution

from directus.defaults import conf


@register("relais")
def check_timeouts(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """A timeout that was read as milliseconds is said once, when the server starts."""
    return [
        Caution(f"{name} is 1000 or more, so it was read as milliseconds.", id="relais.W040")
        for name in conf.in_milliseconds
    ]
