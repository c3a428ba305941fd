"""Bells: messages through the channel layer that tell the other processes of new events."""
