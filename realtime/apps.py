"""The Django app of the core: what registers itself is imported when the apps are ready."""

from django.apps import AppConfig


class RealtimeConfig(AppConfig):
    name = "realtime"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from realtime import checks, garbage, scoreboard, vitals  # noqa: F401 (system checks; work beside the sockets)
