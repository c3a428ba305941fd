"""Notifications: their kinds, each user's inbox, and the socket that shows new ones as they happen."""
