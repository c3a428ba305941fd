"""Proof by faults: scenarios load Relais, break something on purpose, and judge whether its promises held."""
