"""The Django app of the demo. It has no models of its own."""

from django.apps import AppConfig


class DemoConfig(AppConfig):
    name = "demo"
