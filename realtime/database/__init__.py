"""The database: its URL, its threads and deadlines, and queries in batches and ranges."""
