"""Every server that can hold a conversation, seen alike: open its sockets, put it under load."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bench.crowd import Crowd, Place
from bench.machine import ROOT, cpu_seconds
from bench.relais import Relais, native_places
from bench.speech import Style
from bench.workbench import KINDS, Workbench
from tests.processes import Process
from tests.servers import Kind


@dataclass(frozen=True)
class Target:
    """One server under measurement."""

    name: str
    process: Process
    #: Sockets of one new conversation: of so many members, so many of whom speak.
    places: Callable[[int, int], list[Place]]
    style: Style = "plain"
    #: The number that rises by one with each message, where the server has one.
    seq: str = ""
    #: Frames by which a socket is told that it is subscribed; where there are none it must be found out.
    greetings: int = 0
    #: Handshakes at a time. The guide's server gives up after 5 s, so not too many wait.
    window: int = 32

    def open(self, bench: Workbench, members: int, speakers: int, *, turn: int = 0) -> Crowd:
        """Everybody connected and subscribed; in another turn others speak."""
        crowd = bench.crowd(self.process, self.places(members, speakers), turn=turn)
        if self.greetings:
            crowd.connect(frames=self.greetings, window=self.window, timeout=600)
        else:
            crowd.connect(probe=self.style, window=self.window, timeout=600)
        return crowd

    def cpu_seconds(self) -> float:
        """What the server has used."""
        return cpu_seconds(self.process.pid)


def relais(bench: Workbench, kind: Kind, *, tree: Path = ROOT) -> Target:
    """Our server on one of its servers; of another checkout it is the one before."""
    server = bench.relais(kind, tree=tree)

    def places(members: int, speakers: int) -> list[Place]:
        [conversation] = server.fixture(members=members)
        return conversation.places(speakers=speakers)

    return Target(kind if tree == ROOT else f"{kind}, before", server, places, seq="seq", greetings=1)


def both_sockets(bench: Workbench, kind: Kind) -> list[Target]:
    """One server of ours twice: by its chat socket, and by the native one."""
    chat = relais(bench, kind)
    server = chat.process
    assert isinstance(server, Relais)

    def places(members: int, speakers: int) -> list[Place]:
        return native_places(server.fixture(members=members), speakers=speakers)

    native = Target(f"{kind} /ws/", server, places, style="native", seq="seq", greetings=2)
    return [replace(chat, name=f"{kind} /ws/chat/"), native]


def ours(bench: Workbench) -> list[Target]:
    """Our server on both of its servers."""
    return [relais(bench, kind) for kind in KINDS]


def guide(bench: Workbench) -> Target:
    """The guide's server."""
    server = bench.guide()
    return Target(
        "guide", server, lambda members, speakers: server.places(members, speakers=speakers), seq="message_id"
    )


def nchan(bench: Workbench) -> list[Target]:
    """nginx with nchan, or nothing."""
    server = bench.nchan()
    if server is None:
        return []
    return [
        Target(
            "nchan",
            server,
            lambda members, speakers: server.places(members, speakers=speakers),
            style="event",
        )
    ]
