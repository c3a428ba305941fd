"""How processes tell each other that there is something new, through the channel layer."""
