"""The hubs that run in this process, and `deliver`, which hands them events and has one of them ring a bell.

A server has one hub, a command none, and some tests several. A hub registers itself while it runs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol

from realtime.bells.hosts import layer_is_shared
from realtime.bells.ringer import ring_from_outpost
from realtime.events import Logged


class LocalHub(Protocol):
    """A hub, as far as the bells know one."""

    def deliver(self, events: Sequence[Logged], *, also_others: bool) -> None:
        """Hand events to the sockets of this process and, if so, ring for the others; from any thread."""


_hubs: list[LocalHub] = []


def register(hub: LocalHub) -> None:
    """Hand what is delivered from now on to this hub too."""
    _hubs.append(hub)


def unregister(hub: LocalHub) -> None:
    """Stop handing events to this hub; harmless for one that is not registered."""
    _hubs[:] = [other for other in _hubs if other is not hub]


def registered() -> list[LocalHub]:
    """The hubs that run in this process."""
    return list(_hubs)


def deliver(events: Sequence[Logged]) -> None:
    """Hand events to this process's sockets and, with one bell, to all other processes; from any thread."""
    if _hubs:
        for index, hub in enumerate(registered()):
            hub.deliver(events, also_others=index == 0)
    elif layer_is_shared():
        ring_from_outpost(events)


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    # In a forked child the hubs of the parent exist, but do not run.
    os.register_at_fork(after_in_child=_hubs.clear)
