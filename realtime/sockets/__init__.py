"""One WebSocket of a client: its connection, who speaks on it, and what it may ask."""
