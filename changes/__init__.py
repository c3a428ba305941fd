"""Changes to the rows of tables, however they were made; apps import from here what they declare with.

    # orders/watched.py, found by itself
    from changes import Reading, watch
    from orders.models import Order

    watch(Order, name="orders", fields=["id", "status", "total"], readable=lambda user: Reading())

From then on every change of a row is told to the topic `collection.orders` (`docs/subsystems/changes.md`).
"""

from changes.registry import ALL_FIELDS, Collection, watch, watch_table
from changes.rights import EVERY_ROW, Reading, RowFilter, nobody

__all__ = [
    "ALL_FIELDS",
    "EVERY_ROW",
    "Collection",
    "Reading",
    "RowFilter",
    "nobody",
    "watch",
    "watch_table",
]
