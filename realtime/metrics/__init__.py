"""Metrics: instruments that count, and the scoreboard that adds up the numbers of a service's workers."""
