"""Benchmarks: the load generator, the measured servers, the scenarios, and the report. See README.md."""
