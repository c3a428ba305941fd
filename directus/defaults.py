"""The settings of the dialect with their defaults and units; `settings.DIRECTUS` overrides them by name.

Their names in the environment are those of Directus, in capitals: `WEBSOCKETS_REST_AUTH`.
"""

from __future__ import annotations

from typing import Literal

from django.conf import settings
from django.core.signals import setting_changed


class Conf:
    """The settings: defaults, which `read` replaces by the project's values."""

    #: Whether there are sockets at all, and the one that speaks JSON.
    websockets_enabled: bool = True
    websockets_rest_enabled: bool = True
    #: The path of that socket.
    websockets_rest_path: str = "/websocket"
    #: Whether a socket needs a token: for nothing, in its first frame, or before it opens.
    websockets_rest_auth: Literal["public", "handshake", "strict"] = "handshake"
    #: Seconds in which a client must authenticate, or do so again.
    websockets_rest_auth_timeout: float = 10
    #: Open sockets of the dialect in one process; 0 is no limit.
    websockets_rest_conn_limit: int = 0
    #: Whether sockets are pinged.
    websockets_heartbeat_enabled: bool = True
    #: Seconds between two pings, and for the answer.
    websockets_heartbeat_period: float = 30
    #: Rows of an answer whose query names no limit.
    query_limit_default: int = 100
    #: The largest limit of a query; 0 is none.
    query_limit_max: int = 0
    #: The variables whose values were read as milliseconds; the system check names them.
    in_milliseconds: tuple[str, ...] = ()

    @property
    def has_socket(self) -> bool:
        """Whether the JSON socket is open."""
        return self.websockets_enabled and self.websockets_rest_enabled

    def read(self) -> None:
        """Take the values that the project sets, and the defaults of all other settings."""
        given = getattr(settings, "DIRECTUS", {})
        self.__dict__.update(
            {known: given.get(known, getattr(Conf, known)) for known in Conf.__annotations__}
        )


conf = Conf()
conf.read()


def _settings_changed(*, setting: str, **_: object) -> None:
    if setting == "DIRECTUS":
        conf.read()


setting_changed.connect(_settings_changed, dispatch_uid="directus.defaults")
