"""Tests of the benchmarks: that they count, time and judge correctly. Nothing here is a load."""
