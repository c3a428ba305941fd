"""A protocol that the core has never heard of, built on it: everything it needs comes from the door."""
