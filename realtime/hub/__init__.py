"""The hub: the part of a process that hands events to its sockets, live or from the log."""
