"""The private channels of the demo, in the Supabase dialect: those named `probe-private…` are Ana's."""

from __future__ import annotations

from typing import Any

from demo.people import ANA
from supabase.rules import EVERYTHING, Allowed, private_channels


@private_channels("probe-private.*")
def ana_alone(user: Any) -> Allowed | None:
    """Everything, for Ana."""
    return EVERYTHING if user is not None and user.username == ANA.username else None
