"""Places limit how many HTTP connections a process holds: in all, and from each address.

When all places are taken, the connection that waits for its peer the longest makes room, at the address that
has the most: strangers who say nothing, drip or do not read keep nobody else out. Only when none waits for
its peer, because all are being answered, is the newcomer refused. A connection that became a socket has no
place here: `realtime.sockets.handshakes.SocketLimits` counts those.
"""

from __future__ import annotations

from collections.abc import Callable

from realtime.defaults import conf
from realtime.http.addresses import counted, is_trusted_proxy
from realtime.servers.refusals import CONNECTIONS, CONNECTIONS_PER_ADDRESS, Refusal


class Place:
    """The place of one connection."""

    __slots__ = ("_address", "_give_way")

    def __init__(self, address: Address, give_way: Callable[[Refusal], None]) -> None:
        self._address = address
        self._give_way = give_way

    def waits(self) -> None:
        """Note that the connection waits for its peer; a place that was given away cannot wait any more."""
        if self in self._address.open:
            self._address.waiting.setdefault(self)

    def works(self) -> None:
        """Note that the connection is being answered, so it makes room for nobody."""
        self._address.waiting.pop(self, None)

    def leave(self) -> None:
        """Free the place: the connection is over, or has become a socket."""
        self._address.leave(self)

    def give_way(self, refusal: Refusal) -> None:
        """End the connection: another one needs the place."""
        self.leave()
        self._give_way(refusal)


class Address:
    """The connections from one address."""

    def __init__(self, name: str, places: Places) -> None:
        self._name = name
        self._places = places
        self.open: set[Place] = set()
        #: The places that wait for their peer, the longest first.
        self.waiting: dict[Place, None] = {}

    def leave(self, place: Place) -> None:
        """Free a place of this address; harmless a second time."""
        if place in self.open:
            self.open.remove(place)
            self.waiting.pop(place, None)
            self._places.left(self._name, self)


class Places:
    """All places of this process."""

    def __init__(self) -> None:
        self.open = 0
        self._addresses: dict[str, Address] = {}

    def take(self, peer: str | None, give_way: Callable[[Refusal], None]) -> Place | Refusal:
        """Take a place for a new connection, or return why there is none; `peer` is None on a Unix socket."""
        name = "" if peer is None else counted(peer)
        address = self._addresses.get(name)
        if address is not None and not _is_shared(peer):
            limit = conf.limit_connections_per_address
            if 0 < limit <= len(address.open) and not _make_room(address, CONNECTIONS_PER_ADDRESS):
                return CONNECTIONS_PER_ADDRESS
        if 0 < conf.limit_connections <= self.open and not self._make_room():
            return CONNECTIONS
        # Looked up again: the connection that made room may have been the last of this address.
        address = self._addresses.setdefault(name, Address(name, self))
        place = Place(address, give_way)
        address.open.add(place)
        self.open += 1
        place.waits()
        return place

    def left(self, name: str, address: Address) -> None:
        """Note that a place of an address is free."""
        self.open -= 1
        if not address.open:
            del self._addresses[name]

    def _make_room(self) -> bool:
        most = max(self._addresses.values(), key=lambda address: len(address.waiting))
        return _make_room(most, CONNECTIONS)


def _make_room(address: Address, refusal: Refusal) -> bool:
    oldest = next(iter(address.waiting), None)
    if oldest is None:
        return False
    oldest.give_way(refusal)
    return True


def _is_shared(peer: str | None) -> bool:
    """Whether many clients share the address: it is a trusted proxy's, or a Unix socket, used by one."""
    return peer is None or is_trusted_proxy(peer, tuple(conf.trusted_proxies))


#: The places of the server that runs in this process.
places = Places()
