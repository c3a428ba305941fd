"""The Django app of the core: what registers itself is imported when the apps are ready."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class RealtimeConfig(AppConfig):
    name = "realtime"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from realtime import checks, garbage, retention, scoreboard, vitals  # noqa: F401 (system checks; work beside the sockets)

        autodiscover_modules("chores")
