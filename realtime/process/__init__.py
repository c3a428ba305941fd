"""What a whole process does beside its sockets: background work, and its memory."""
