"""A protocol that the core has never heard of, spoken on it: what it needs of the core, the door offers."""
