"""Tests of the tools themselves: scripts, locks, layers, the servers that tests start."""
