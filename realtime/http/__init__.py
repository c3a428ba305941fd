"""What every HTTP view and handshake shares: problem documents, parsers, queries, client addresses."""
