"""Bells tell the other processes, through the channel layer, that there is something new."""
