"""Proof by faults: what Relais promises, put under load, broken on purpose, and judged. docs/proof/README.md"""
