"""A violation: a broken promise, and the message that broke it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from proof.history import Heard, Seat, Send

_SEAT = re.compile(r"user (?P<user>\d+) in conversation (?P<conversation>\d+)")


class Violation(NamedTuple):
    """One broken promise, and the message that broke it."""

    invariant: str
    says: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.says}"

    @property
    def seat(self) -> Seat | None:
        """The seat whose promise was broken: conversation and user, as far as the text names them."""
        named = _SEAT.search(self.says)
        return (int(named["conversation"]), int(named["user"])) if named else None


def name_of(send: Send) -> str:
    return f"{send.client_id} ({short(send.content)}, user {send.sender} in conversation {send.conversation})"


def frame_of(heard: Heard) -> str:
    return f"{heard.kind} {heard.message_id} at seq {heard.seq} ({short(heard.content)})"


def short(content: str) -> str:
    """The beginning of a text, enough to know it by."""
    return repr(content if len(content) <= 40 else f"{content[:39]}…")


def some(seqs: Sequence[int]) -> str:
    shown = ", ".join(map(str, seqs[:5]))
    return f"seq {shown}" if len(seqs) <= 5 else f"{len(seqs)} seqs ({shown}, …)"
