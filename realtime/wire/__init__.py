"""The bytes of a socket: how frames are made, joined and handed to a server, and how many may wait."""
