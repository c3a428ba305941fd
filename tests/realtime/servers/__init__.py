"""Tests of the adapters: real servers, with an application that is not Relais."""
