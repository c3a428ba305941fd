"""The sockets of clients: a connection, its dialect, its accesses, and its commands."""
