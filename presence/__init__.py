"""Presence: who is in a room now, by sockets of all processes. Nothing of it is stored."""
