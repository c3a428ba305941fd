"""The Django app of presence: its tracker beats beside the sockets."""

from django.apps import AppConfig


class PresenceConfig(AppConfig):
    name = "presence"

    def ready(self) -> None:
        from presence.tracker import Tracker
        from realtime import runs_with_hub

        runs_with_hub(Tracker.keep_alive)
