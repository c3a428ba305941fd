"""Tests of `config/`: settings, logs, health, the assembly."""
