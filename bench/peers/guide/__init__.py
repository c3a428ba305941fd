"""The server of the Channels guide, as a reader would build it: Daphne, the core Redis layer, SQLite."""
