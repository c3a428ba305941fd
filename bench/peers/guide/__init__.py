"""The server of the Channels guide, as its reader would build it: Daphne, the core Redis layer, SQLite."""
