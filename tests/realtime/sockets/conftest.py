"""The fixture with the socket that these tests talk to."""

from tests.realtime.sockets.talk import nobody_yet, talk

__all__ = ["nobody_yet", "talk"]
