"""Notifications: their kinds, each user's inbox, and the sockets that show new ones at once."""
