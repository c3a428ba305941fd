"""Rooms follow what other processes tell of them."""

from __future__ import annotations

from presence.tracker import Tracker
from realtime import Delivery, reacts_to


@reacts_to("presence_changed")
def follow_change(delivery: Delivery) -> None:
    """Apply what was told to a room."""
    Tracker.current().changed(delivery)
