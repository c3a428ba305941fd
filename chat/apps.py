"""The Django app of the chat: its reactions and its notices are registered when the apps are ready."""

from django.apps import AppConfig


class ChatConfig(AppConfig):
    name = "chat"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from chat import notices, notifier, reactions, receivers  # noqa: F401 (they register themselves)
