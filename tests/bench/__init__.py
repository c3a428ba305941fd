"""Tests of the benchmarks: they count, time and judge correctly. Nothing here puts load on a server."""
