"""Targets: every server that can hold a conversation, behind one interface: open sockets, load them."""

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
    """One measured server."""

    name: str
    process: Process
    #: Makes the places of a new conversation, from the number of members and of speakers.
    places: Callable[[int, int], list[Place]]
    style: Style = "plain"
    #: The field that rises by one with each message, if the server has one.
    seq: str = ""
    #: Frames after which a socket is subscribed; with 0, a probe finds out.
    greetings: int = 0
    #: Handshakes at a time. The guide's server gives up a handshake after 5 s, so few may wait.
    window: int = 32

    def open(self, bench: Workbench, members: int, speakers: int, *, turn: int = 0) -> Crowd:
        """Connect and subscribe all members; another turn has other speakers."""
        crowd = bench.crowd(self.process, self.places(members, speakers), turn=turn)
        if self.greetings:
            crowd.connect(frames=self.greetings, window=self.window, timeout=600)
        else:
            crowd.connect(probe=self.style, window=self.window, timeout=600)
        return crowd

    def cpu_seconds(self) -> float:
        """CPU seconds that the server has used."""
        return cpu_seconds(self.process.pid)


def relais(bench: Workbench, kind: Kind, *, tree: Path = ROOT) -> Target:
    """Relais on an ASGI server; with another checkout, it is called "before"."""
    server = bench.relais(kind, tree=tree)

    def places(members: int, speakers: int) -> list[Place]:
        [conversation] = server.fixture(members=members)
        return conversation.places(speakers=speakers)

    return Target(kind if tree == ROOT else f"{kind}, before", server, places, seq="seq", greetings=1)


def both_sockets(bench: Workbench, kind: Kind) -> list[Target]:
    """One Relais server as two targets: its chat socket, and its native socket."""
    chat = relais(bench, kind)
    server = chat.process
    assert isinstance(server, Relais)

    def places(members: int, speakers: int) -> list[Place]:
        return native_places(server.fixture(members=members), speakers=speakers)

    native = Target(f"{kind} /ws/", server, places, style="native", seq="seq", greetings=2)
    return [replace(chat, name=f"{kind} /ws/chat/"), native]


def ours(bench: Workbench) -> list[Target]:
    """Relais on both ASGI servers."""
    return [relais(bench, kind) for kind in KINDS]


def guide(bench: Workbench) -> Target:
    """The guide's server."""
    server = bench.guide()
    return Target(
        "guide", server, lambda members, speakers: server.places(members, speakers=speakers), seq="message_id"
    )


def nchan(bench: Workbench) -> list[Target]:
    """nginx with nchan, if it is there."""
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
