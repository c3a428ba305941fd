"""Who is typing: ephemeral, so there are no models; forgotten by itself, so it cannot stick."""
