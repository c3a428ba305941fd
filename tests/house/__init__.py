"""Tests of the tools themselves: scripts, locks, layers, and the servers that tests start."""
