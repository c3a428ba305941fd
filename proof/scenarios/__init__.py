"""The rows of the table of faults, by what is broken in them. Each module registers its own."""

from proof.scenarios import (
    abuse,
    anything,
    long,
    order,
    overload,
    postgres,
    readers,
    redis,
    relays,
    restores,
    rights,
    stops,
    strangers,
    workers,
)

__all__ = [
    "abuse",
    "anything",
    "long",
    "order",
    "overload",
    "postgres",
    "readers",
    "redis",
    "relays",
    "restores",
    "rights",
    "stops",
    "strangers",
    "workers",
]
