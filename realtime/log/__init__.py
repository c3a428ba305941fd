"""The events of durable topics, numbered and stored in the database."""
