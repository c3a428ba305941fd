"""The app of the guide's chat."""

from django.apps import AppConfig


class GuideChat(AppConfig):
    name = "bench.peers.guide"
    label = "guide_chat"
