"""Changes to the rows of tables, however they were made; apps import from here what they declare with.

    # orders/watched.py, found by itself
    from changes import allow, signed_in, watch
    from orders.models import Order

    watch(Order, name="orders", fields=["id", "status", "total"], rights=[allow("read", to=signed_in)])

From then on every change of a row is told to the topic `collection.orders` (`docs/subsystems/changes.md`).
"""

from collections.abc import Iterable

from changes.registry import Collection, watch, watch_rights, watch_table
from changes.rights import ALL_FIELDS, Action, Right, allow, anybody, signed_in
from changes.user_values import user_value

__all__ = [
    "ALL_FIELDS",
    "Action",
    "Collection",
    "Right",
    "allow",
    "anybody",
    "rights_changed",
    "signed_in",
    "user_value",
    "watch",
    "watch_rights",
    "watch_table",
]


def rights_changed(users: Iterable[int] | None) -> None:
    """Say that what users may do has changed, by their ids, or what everybody may do: None.

    For rights that depend on something that is in no table of this database; for tables there is
    `watch_rights`. It is told once the caller's transaction is committed.
    """
    from changes import rights_notes  # models cannot be imported before the apps are ready

    rights_notes.note(users)
