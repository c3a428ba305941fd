"""The log: the events of durable topics, numbered and stored in the database."""
