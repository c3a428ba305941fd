"""The demo as a Django application. It has no models of its own."""

from django.apps import AppConfig


class DemoConfig(AppConfig):
    name = "demo"
