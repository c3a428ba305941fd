"""Mutants: deliberate faults of the product, one patch each, with the tests that must catch them."""
