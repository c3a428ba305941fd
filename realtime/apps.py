"""The Django app of the core; it imports the modules that register something when the apps are ready."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules

from realtime.defaults import conf


class RealtimeConfig(AppConfig):
    name = "realtime"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        conf.read()
        # Each registers system checks, chores, or work that runs beside the sockets.
        from realtime import checks  # noqa: F401
        from realtime.log import retention  # noqa: F401
        from realtime.metrics import scoreboard, vitals  # noqa: F401
        from realtime.process import garbage  # noqa: F401

        autodiscover_modules("chores")
