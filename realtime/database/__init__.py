"""The database: its URL, its threads and deadlines, and questions asked in batches and ranges."""
