"""Threads, deadlines and batches: how sockets ask the database without waiting for each other."""
