"""Conversations and their messages: the reference app, whose shape the others copy."""
