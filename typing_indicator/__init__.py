"""The typing indicator. Typing is ephemeral: it has no models, and expires by itself."""
