"""The Django app of the native socket: when the apps are ready, it imports the module `native` of each."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class NativeConfig(AppConfig):
    name = "native"

    def ready(self) -> None:
        autodiscover_modules("native")
