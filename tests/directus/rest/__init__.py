"""REST of the Directus dialect."""
