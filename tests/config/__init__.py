"""Tests of `config/`: settings, logging, the assembled application."""
