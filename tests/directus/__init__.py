"""Tests of the Directus dialect."""
