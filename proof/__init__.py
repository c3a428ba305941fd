"""Proof by faults: what Relais promises is put under load, broken on purpose, and judged."""
