"""Tests of the files that ship the server: they are valid, agree with each other, and describe what
starts."""
