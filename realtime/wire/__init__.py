"""Bytes on a socket: how frames are made, joined and handed to a server, and how much may wait."""
