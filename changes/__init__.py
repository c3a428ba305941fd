"""Changes to the rows of tables, however they were made; apps import from here what they declare with.

    # orders/watched.py, found by itself
    from changes import allow, signed_in, watch
    from orders.models import Order

    watch(Order, name="orders", fields=["id", "status", "total"], rights=[allow("read", to=signed_in)])

From then on every change of a row is told to the topic `collection.orders` (`docs/subsystems/changes.md`).
"""

from changes.registry import Collection, watch, watch_table
from changes.rights import ALL_FIELDS, Action, Right, allow, anybody, signed_in
from changes.user_values import user_value

__all__ = [
    "ALL_FIELDS",
    "Action",
    "Collection",
    "Right",
    "allow",
    "anybody",
    "signed_in",
    "user_value",
    "watch",
    "watch_table",
]
