"""Private channels: an app says who may read and write broadcasts and presence in which of them.

    # orders/channels.py, found by itself
    from supabase.rules import EVERYTHING, private_channels

    @private_channels(r"shop-(?P<shop_id>[0-9]+)")
    def shops(user, shop_id):
        return EVERYTHING if user and owns(user, shop_id) else None

The first rule whose pattern fits the whole name decides; where none fits nobody may do anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a user may do in a private channel."""

    read_broadcasts: bool = False
    write_broadcasts: bool = False
    read_presence: bool = False
    write_presence: bool = False

    @property
    def may_join(self) -> bool:
        """Whether there is anything to read."""
        return self.read_broadcasts or self.read_presence


NOTHING = Allowed()
EVERYTHING = Allowed(read_broadcasts=True, write_broadcasts=True, read_presence=True, write_presence=True)

#: Asked for a user, or for None: somebody who is not signed in. In a thread; it may use the database.
Rule = Callable[..., Allowed | None]
R = TypeVar("R", bound=Rule)

_rules: list[tuple[re.Pattern[str], Rule]] = []


def private_channels(pattern: str) -> Callable[[R], R]:
    """Register a rule for the private channels whose names fit a pattern; its groups are given by name."""

    def register(rule: R) -> R:
        _rules.append((re.compile(pattern), rule))
        return rule

    return register


def allowed(user: Any, name: str) -> Allowed:
    """What a user may do in the private channel of this name. In a thread; it may use the database."""
    for pattern, rule in _rules:
        if (found := pattern.fullmatch(name)) is not None:
            return rule(user, **found.groupdict()) or NOTHING
    return NOTHING
