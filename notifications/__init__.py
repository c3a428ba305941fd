"""Telling people: kinds of notifications, the inbox, and the socket that shows both as they happen."""
