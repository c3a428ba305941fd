"""The Django app of the typing indicator."""

from django.apps import AppConfig


class TypingIndicatorConfig(AppConfig):
    name = "typing_indicator"

    def ready(self) -> None:
        from typing_indicator import reactions  # noqa: F401 (registers itself)
