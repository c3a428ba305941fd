"""The apps of others, which EXTRA_APPS names: their sockets and their REST paths are found like our own."""

from importlib import import_module
from types import ModuleType
from typing import Any

from django.conf import settings
from django.utils.module_loading import module_has_submodule


def socket_routes() -> list[Any]:
    """`websocket_urlpatterns` of each app's module `routing`."""
    return [route for module in _modules("routing") for route in module.websocket_urlpatterns]


def rest_modules() -> list[ModuleType]:
    """Each app's module `urls`, whose paths lie below `/api/`."""
    return _modules("urls")


def _modules(name: str) -> list[ModuleType]:
    packages = [import_module(app) for app in settings.EXTRA_APPS]
    return [
        import_module(f"{package.__name__}.{name}")
        for package in packages
        if module_has_submodule(package, name)
    ]
