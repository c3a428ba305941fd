"""Apps of others, named by EXTRA_APPS: their sockets and REST paths are found by module names."""

from importlib import import_module
from types import ModuleType
from typing import Any

from django.conf import settings
from django.utils.module_loading import module_has_submodule


def socket_routes() -> list[Any]:
    """The `websocket_urlpatterns` of each app's module `routing`."""
    return [route for module in _modules("routing") for route in module.websocket_urlpatterns]


def rest_modules() -> list[ModuleType]:
    """The module `urls` of each app, whose paths lie below `/api/`."""
    return _modules("urls")


def _modules(name: str) -> list[ModuleType]:
    packages = [import_module(app) for app in settings.EXTRA_APPS]
    return [
        import_module(f"{package.__name__}.{name}")
        for package in packages
        if module_has_submodule(package, name)
    ]
