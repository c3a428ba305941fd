"""Deliberate faults of ours, one patch each, and the tests that must catch them."""
