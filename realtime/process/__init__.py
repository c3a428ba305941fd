"""The process itself, beside its sockets: background work, garbage collection, the C library's memory."""
