"""The part of a process that knows its local subscribers and hands them events, live or from the log."""
