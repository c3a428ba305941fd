"""Benchmarks: a load generator, the servers it measures, the scenarios, and the report. See README.md."""
