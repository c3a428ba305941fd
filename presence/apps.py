"""The Django app of presence: its reaction registers itself, and its tracker beats beside the sockets."""

from django.apps import AppConfig


class PresenceConfig(AppConfig):
    name = "presence"

    def ready(self) -> None:
        from presence import reactions  # noqa: F401 (registers itself)
        from presence.tracker import Tracker
        from realtime import runs_with_hub

        runs_with_hub(Tracker.keep_alive)
