"""The rows of the table of faults, in modules by what is broken; each module registers its own."""

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
