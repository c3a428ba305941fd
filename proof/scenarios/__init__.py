"""The rows of the table of faults, by what is broken in them. Each module registers its own."""

from proof.scenarios import order, postgres, redis, rights, workers

__all__ = ["order", "postgres", "redis", "rights", "workers"]
