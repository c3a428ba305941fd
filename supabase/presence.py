"""Presence of channels: who tracks themselves there, in the frames of the protocol."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from presence.events import Entry, PresenceChanged
from realtime import Delivery, Frame, foreign_topic
from supabase.socket.frames import Version, text_of

#: Bytes of what somebody says of themselves.
MAX_META_BYTES = 16 * 1024
#: A key that would make the client take a state for changes of rows.
RESERVED = "ids"

_CHANGED = msgspec.json.Decoder(PresenceChanged)


def room_of(name: str, *, private: bool) -> str:
    """The room of a channel; that of a private one is another than that of a public one of its name."""
    return foreign_topic("presence.private" if private else "presence.public", name)


def listed(entries: Iterable[Entry]) -> str:
    """Entries by key, as the text of a JSON object."""
    by_key: dict[str, list[str]] = {}
    for entry in entries:
        by_key.setdefault(entry.key, []).append(_meta(entry))
    keys = (f'{text_of(key)}:{{"metas":[{",".join(metas)}]}}' for key, metas in by_key.items())
    return f"{{{','.join(keys)}}}"


def _meta(entry: Entry) -> str:
    before = f',"phx_ref_prev":{text_of(entry.before)}' if entry.before else ""
    more = bytes(entry.meta).decode()[1:-1].strip()
    return f'{{"phx_ref":{text_of(entry.ref)}{before}{"," if more else ""}{more}}}'


@dataclass(frozen=True, slots=True)
class PresenceFrames:
    """The rendering of a room for all members who speak one version of the protocol."""

    version: Version
    #: The channel's, as clients write it.
    topic: str

    def render(self, write: Sequence[Delivery]) -> Iterable[Frame]:
        for delivery in write:
            told = _CHANGED.decode(delivery.body)
            diff = f'{{"joins":{listed(told.joins)},"leaves":{listed(told.leaves)}}}'
            yield Frame(self.version.write(self.topic, "presence_diff", diff))
